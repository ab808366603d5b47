"""What all handlers under ``/v1`` share: who may call, and errors in one shape."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import inspect
import re
import uuid
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

import msgspec
from jupyter_server.auth import User
from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from .. import metrics
from ..access.callers import LOCAL, Caller
from ..access.kernels import Kernel
from ..access.keys import KEY_PREFIX
from ..access.rights import Identity
from ..claude_code.surrogates import encode
from ..errors import InvalidRequest, StoreUnavailable, cut
from ..store.records import KeyRecord
from ..wire.chat.types import ErrorResponse
from ..wire.fields import Fields
from .bodies import BodyHandler
from .bounds import check_values
from .errors import APIError, api_error, error_of
from .foreign import refuse_foreign_callers
from .limits import PREFIX as LIMITS
from .limits import WINDOWS, limit_headers
from .routes import meant
from .services import Services

RESOURCE = "claude"

REQUEST_ID_HEADER = "X-Request-Id"
PROCESSING_HEADER = "OpenAI-Processing-Ms"
IGNORED_HEADER = "X-Ignored-Parameters"
CORRECTED_HEADER = "X-Corrected-Parameters"
REDUCED_HEADER = "X-Reduced-Parameters"
SESSION_HEADER = "X-Claude-Session"
OWN_HEADERS = (
    REQUEST_ID_HEADER,
    PROCESSING_HEADER,
    IGNORED_HEADER,
    CORRECTED_HEADER,
    REDUCED_HEADER,
    SESSION_HEADER,
    "Retry-After",
    f"{LIMITS}-Status",
    f"{LIMITS}-Reset",
    *(f"{LIMITS}-{window}-Utilization" for window in WINDOWS.values()),
    *(f"{LIMITS}-{window}-Reset" for window in WINDOWS.values()),
)

MOST_ITEMS_A_PAGE = 100

# The longest system prompt there may be, with escapes for all of its characters.
MOST_RESOURCE_BYTES = 2 * 2**20

# What OpenAI takes as a client's name of a request: 512 printable characters.
_REQUEST_ID = re.compile(r"[ -~]{1,512}")

AT_A_SERVER = (
    "Send the token of the Jupyter server as `Authorization: Bearer <token>`; "
    "`jupyter server list` shows it."
)
AT_A_HUB = (
    "Send a token of JupyterHub that may access this server as `Authorization: "
    "Bearer <token>`; the hub's page `Token` makes one."
)

# Of `IdentityProvider.generate_anonymous_user`.
_MADE_UP_NAME = re.compile(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}")

Request = TypeVar("Request", bound=msgspec.Struct)
Method = TypeVar("Method", bound=Callable[..., Any])

# Stands for whoever can reach a gateway that asks for no key.
LOCAL_USER = User(username="local", name="local", display_name="Local client")

# Stands for the kernels of this server, which hold the key of its runtime file.
KERNEL_USER = User(username="kernel", name="kernel", display_name="Kernel")


def allowed_to(action: str) -> Callable[[Method], Method]:
    """Let only those callers in whom the authorizer allows `action` on us.

    The actions are Jupyter's: read, write, execute. The authorizer is asked of the
    users that Jupyter let in. Of those whom we let in ourselves it knows nothing, and
    may look for what their users have not: `rights` alone decides about them.
    """

    def decorate(method: Method) -> Method:
        asked: Callable[..., Any] = authorized(action, RESOURCE)(method)

        @functools.wraps(method)
        async def decided(self: GatewayHandler, *args: Any, **kwargs: Any) -> None:
            chosen = asked if self.caller.is_jupyter else method
            found = chosen(self, *args, **kwargs)
            if inspect.isawaitable(found):
                await found

        return cast("Method", web.authenticated(decided))

    return decorate


class GatewayHandler(BodyHandler):
    """Base of our handlers.

    Jupyter decides who may call. Its errors are replaced where they would
    mislead an API client: without any cookie, a request that is not let in is
    401 and has nothing to do with XSRF.
    """

    auth_resource = RESOURCE
    #: The name under which requests are counted; None: they are not.
    endpoint: str | None = None
    client_gone = False
    failed_midway = False
    #: The error that the request was answered with.
    told_error: APIError | None = None
    #: The scoped key that the request came with.
    key: KeyRecord | None = None
    #: The kernel whose key the request came with.
    kernel: Kernel | None = None
    #: What the path says of the project, where it says anything.
    project_in_path: str | None = None
    _work: asyncio.Task[Any] | None = None

    def initialize(self, services: Services) -> None:
        """Keep what the handler may use."""
        self.services = services
        self.bound_body(services.bodies, services.max_request_bytes)

    async def admit(self) -> None:
        """Let the caller in, or raise."""
        self.project_in_path = self.path_kwargs.pop("project", None)
        self._accept_anthropics_key()
        self.kernel = await self.services.kernels.check(self._bearer())
        if self.kernel is not None:
            if not self.kernel.running:
                raise APIError(
                    401, "The kernel of this key has ended.", code="invalid_api_key"
                )
            self._let_in(KERNEL_USER)
            return
        if self._bearer().startswith(KEY_PREFIX):
            self.key = await self._checked_key()
            self._let_in(User(username=f"key:{self.key.id}", name=self.key.name))
            return
        if self.services.is_keyless():
            refuse_foreign_callers(self.request, self.settings["local_hostnames"])
            if not self._has_the_servers_token():
                self.current_user = self._jupyter_current_user = LOCAL_USER
                return
        try:
            await super().admit()
        except HTTPError as error:
            refused = not isinstance(error, APIError) and error.status_code == 403
            if refused and not self.current_user and not self.request.cookies:
                raise self.unauthorized() from None
            raise

    def set_default_headers(self) -> None:
        """Name the request, by the client's own name if it has one."""
        super().set_default_headers()
        wished = self.request.headers.get(REQUEST_ID_HEADER, "")
        if not _REQUEST_ID.fullmatch(wished):
            wished = f"req_{uuid.uuid4().hex}"
        self.set_header(REQUEST_ID_HEADER, wished)

    def flush(self, include_footers: bool = False) -> Future[None]:
        """Say in the headers how long the answer has taken to begin."""
        if not self._headers_written:
            took_ms = round(self.request.request_time() * 1e3)
            self.set_header(PROCESSING_HEADER, str(took_ms))
            if self.endpoint is not None:
                for name, value in limit_headers(self.services.manager.rate_limits):
                    self.set_header(name, value)
        return super().flush(include_footers)

    def check_host(self) -> bool:
        """Whether the `Host` header names this server; raises where it does not."""
        if not super().check_host():
            raise APIError(
                403,
                "The Host header does not name this server. If it should be "
                "reachable by that name, set ServerApp.allow_remote_access.",
                code="foreign_host",
            )
        return True

    @allow_unauthenticated
    def options(self, *args: Any, **kwargs: Any) -> None:
        """Answer a browser's preflight; `ServerApp.allow_origin` says whom to let in.

        Clients of OpenAI's API send headers of their own (``x-stainless-…``).
        """
        super().options(*args, **kwargs)
        wished = self.request.headers.get("Access-Control-Request-Headers")
        if wished:
            self.set_header("Access-Control-Allow-Headers", wished)

    def set_cors_headers(self) -> None:
        """Let pages of other origins, where there are any, read our headers."""
        super().set_cors_headers()
        if "Access-Control-Allow-Origin" in self._headers:
            self.set_header("Access-Control-Expose-Headers", ", ".join(OWN_HEADERS))

    def get_login_url(self) -> str:
        """Never a redirect: an API client has no use for a login page."""
        raise self.unauthorized()

    def unauthorized(self) -> APIError:
        """The error for whoever brings no key that is good, with where to get one."""
        from_hub = hasattr(self.identity_provider, "hub_auth")
        where = AT_A_HUB if from_hub else AT_A_SERVER
        return APIError(
            401, f"Invalid API key, or none. {where}", code="invalid_api_key"
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with OpenAI's error object, whatever went wrong."""
        exception = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(exception, APIError) and exception.retry_after_seconds:
            self.set_header("Retry-After", exception.retry_after_seconds)
        if isinstance(exception, APIError) and exception.hopeless:
            # The official clients of both APIs then do not try again.
            self.set_header("X-Should-Retry", "false")
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        if status_code == 405:
            self.set_header("Allow", ", ".join(self._methods()))
        self.send_error_body(exception, status_code)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Leave an error that the client is told to the line of its request."""
        if isinstance(value, APIError):
            self.told_error = value
        else:
            super().log_exception(typ, value, tb)

    def send_error_body(self, exception: BaseException | None, status: int) -> None:
        """Finish with the error as JSON, in the shape of the API."""
        self.send_json(ErrorResponse(error_of(exception, status)))

    @property
    def caller(self) -> Caller:
        """Who calls.

        Jupyter makes up a new user for every request that brings the server's
        token and no cookie, and one for every browser, so those are one.
        """
        if self.key is not None:
            bound = self.key.project_id is not None
            identity = Identity.PROJECT_KEY if bound else Identity.KEY
            return Caller(f"key:{self.key.id}", identity, self.key)
        if self.kernel is not None:
            return self._kernel_caller(self.kernel.notebook_directory)
        if self.current_user is LOCAL_USER:
            return Caller(LOCAL, Identity.LOCAL)
        if _is_made_up(self.current_user):
            return Caller("token", Identity.SERVER)
        return Caller(f"user:{self.current_user.username}", Identity.SERVER)

    @property
    def principal(self) -> str:
        """The name under which the caller's conversations are kept."""
        return self.caller.principal

    async def check_project_in_path(self) -> None:
        """Raise unless the caller may work in the project of the path, if it has one.

        Raises
        ------
        InvalidRequest, ProjectNotFound, NotAllowed
        """
        if self.project_in_path is not None:
            await self.services.projects.enter(self.project_in_path, self.caller)

    def check_query(self, *names: str) -> None:
        """Raise InvalidRequest for a parameter of the query that is none of `names`."""
        for name in self.request.query_arguments:
            if name not in (*names, "token"):  # which is Jupyter's
                raise InvalidRequest(
                    f"`{name}`: There is no such parameter: leave it out, or use one "
                    f"of {', '.join(names)}.",
                    param=name,
                    code="unsupported_parameter",
                )

    def page(
        self, *others: str, most: int = MOST_ITEMS_A_PAGE
    ) -> tuple[int, str | None, bool]:
        """What part of a list is asked for: how many, after which id, and whether
        in ascending order. The query may have `others` too.

        Raises
        ------
        InvalidRequest
        """
        self.check_query("limit", "after", "order", *others)
        wished = self.get_query_argument("limit", "20")
        digits = wished.isascii() and wished.isdecimal() and len(wished) < 10
        if not digits or not 1 <= int(wished) <= most:
            raise InvalidRequest(
                f"`limit` must be a number from 1 to {most}.", param="limit"
            )
        order = self.get_query_argument("order", "desc")
        if order not in ("asc", "desc"):
            raise InvalidRequest("`order` is asc or desc.", param="order")
        after = self.get_query_argument("after", "") or None
        return int(wished), after, order == "asc"

    def send_json(self, answer: msgspec.Struct) -> None:
        """Finish with `answer` as JSON."""
        self.finish(encode(answer))

    def on_connection_close(self) -> None:
        """Cancel the work: its reader is gone."""
        super().on_connection_close()
        self.client_gone = True
        if self._work is not None:
            self._work.cancel()

    def on_finish(self) -> None:
        """Count the request."""
        super().on_finish()
        if self.endpoint is not None:
            outcome = self._outcome(self.get_status())
            metrics.REQUESTS.labels(self.endpoint, outcome).inc()

    def _methods(self) -> list[str]:
        own = type(self)
        return [
            name
            for name in web.RequestHandler.SUPPORTED_METHODS
            if getattr(own, name.lower()) is not getattr(APIHandler, name.lower())
        ]

    def _outcome(self, status: int) -> str:
        if self.client_gone:
            return "abandoned"
        if status >= 500 or self.failed_midway:
            return "failed"
        if status == 429:
            return "limited"
        return "refused" if status >= 400 else "answered"

    @contextlib.contextmanager
    def only_for_its_reader(self) -> Iterator[None]:
        """Leave the body of this context when the client goes away."""
        self._work = work = asyncio.current_task()
        assert work is not None
        try:
            if self.client_gone:
                work.cancel()  # takes effect where the body first waits
            yield
        except asyncio.CancelledError:
            if not self.client_gone:
                raise
            work.uncancel()
        finally:
            self._work = None

    def _accept_anthropics_key(self) -> None:
        headers = self.request.headers
        key = headers.get("X-Api-Key")
        if key is not None and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {key}"

    def _bearer(self) -> str:
        return bearer_of(self.request)

    def _let_in(self, user: User) -> None:
        self.check_host()
        self.current_user = self._jupyter_current_user = user

    def _has_the_servers_token(self) -> bool:
        # Who has it is more than a caller without a key, also where none is needed.
        token = self.identity_provider.token
        return bool(token) and hmac.compare_digest(
            self._bearer().encode(), token.encode()
        )

    def _kernel_caller(self, notebook_directory: str | None) -> Caller:
        directory = self.services.projects.directory_at(notebook_directory)
        if directory is None:
            return Caller("kernel", Identity.KERNEL)
        principal = f"kernel:{notebook_directory or '.'}"
        return Caller(principal, Identity.KERNEL, directory=directory)

    async def _checked_key(self) -> KeyRecord:
        try:
            found = await self.services.keyring.check(self._bearer())
        except StoreUnavailable as error:
            raise api_error(error) from error
        if isinstance(found, str):
            text = f"Invalid API key: {found}"
            raise APIError(401, text, code="invalid_api_key")
        return found


def bearer_of(request: HTTPServerRequest) -> str:
    """The key in the Authorization header, empty if there is none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() in ("bearer", "token") else ""


def _is_made_up(user: User) -> bool:
    """Whether Jupyter made `user` up for somebody who did not say who they are."""
    made_up = _MADE_UP_NAME.fullmatch(user.username) is not None
    return made_up and str(user.display_name).startswith("Anonymous ")


class ResourceHandler(GatewayHandler):
    """Base of the handlers of what is kept, of which little is ever said at once."""

    most_body_bytes = MOST_RESOURCE_BYTES

    def read(self, fields: Fields[Request], body: bytes | None = None) -> Request:
        """The body, or `body`, as `fields` have it; raises InvalidRequest."""
        body = self.request.body if body is None else body
        check_values(body)
        return fields.decode(body)


class KeyElsewhereHandler(GatewayHandler):
    """Whatever is not under ``/v1``, for a request with a scoped key."""

    async def admit(self) -> None:
        """Refuse."""
        raise APIError(
            403,
            "This API key opens /v1 alone, and nothing else of the Jupyter server.",
            code="key_out_of_scope",
        )


# Clients that use one service for everything ask it for these too.
NOT_CLAUDES = ("embeddings", "images", "audio", "moderations")


class NotFoundHandler(GatewayHandler):
    """Any path under ``/v1`` that is nothing."""

    def initialize(  # type: ignore[override]
        self, services: Services, known_paths: Sequence[str]
    ) -> None:
        """Keep the patterns of all paths that there are."""
        super().initialize(services)
        self._known_paths = known_paths

    async def admit(self) -> None:
        """Answer 404 to whoever may ask at all."""
        await super().admit()
        if not self.current_user:
            raise self.unauthorized()
        message = f"There is no {self.request.method} {cut(self.request.path)} here."
        resource = self.request.path.partition("/v1/")[2].partition("/")[0]
        if resource in NOT_CLAUDES:
            message += f" Claude makes no {resource}: use another service for that."
        below = self.settings["base_url"].rstrip("/")
        path = self.request.path.removeprefix(below) if below else self.request.path
        if found := meant(path, self._known_paths):
            message += f" You may mean {below}{found}: see the client's base URL."
        raise APIError(404, message, code="unknown_url")
