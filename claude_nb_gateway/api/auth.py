"""Who may call: Jupyter's users, scoped keys, kernels, and callers without a key."""

from __future__ import annotations

import functools
import hmac
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from jupyter_server.auth import User
from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from ..access.callers import LOCAL, Caller
from ..access.kernels import Kernel
from ..access.keys import KEY_PREFIX
from ..access.rights import Identity
from ..errors import StoreUnavailable
from ..store.records import KeyRecord
from .bodies import BodyHandler
from .errors import APIError, api_error
from .foreign import refuse_foreign_callers
from .services import Services

#: The name under which Jupyter's authorizers know the gateway.
RESOURCE = "claude"

AT_A_SERVER = (
    "Send the token of the Jupyter server as `Authorization: Bearer <token>`; "
    "`jupyter server list` shows it."
)
AT_A_HUB = (
    "Send a token of JupyterHub that may access this server as `Authorization: "
    "Bearer <token>`; the hub's page `Token` makes one."
)

# The names that `IdentityProvider.generate_anonymous_user` makes up.
_MADE_UP_NAME = re.compile(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}")

Method = TypeVar("Method", bound=Callable[..., Any])

#: Stands for every caller of a gateway that asks for no key.
LOCAL_USER = User(username="local", name="local", display_name="Local client")

#: Stands for the kernels of this server, which hold the key of its runtime file.
KERNEL_USER = User(username="kernel", name="kernel", display_name="Kernel")


def allowed_to(action: str) -> Callable[[Method], Method]:
    """Let only those callers in whom the authorizer allows `action` on the gateway.

    `action` is one of Jupyter's: read, write, execute. The authorizer is asked only
    about users whom Jupyter itself let in. It does not know the users that
    `AuthHandler` lets in, and may look for attributes that they do not have.
    `access.rights` alone decides about those.
    """

    def decorate(method: Method) -> Method:
        """`method` for allowed callers only."""
        asked: Callable[..., Any] = authorized(action, RESOURCE)(method)

        @functools.wraps(method)
        async def decided(self: AuthHandler, *args: Any, **kwargs: Any) -> None:
            """Ask the authorizer about users of Jupyter, then run the method."""
            chosen = asked if self.caller.is_jupyter else method
            found = chosen(self, *args, **kwargs)
            if inspect.isawaitable(found):
                await found

        return cast("Method", web.authenticated(decided))

    return decorate


def bearer_of(request: HTTPServerRequest) -> str:
    """The key in the Authorization header; empty if there is none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() in ("bearer", "token") else ""


class AuthHandler(BodyHandler):
    """Decides who may call, before the body is read.

    Jupyter decides first. Its errors are replaced where they would mislead an API
    client: a request without a cookie that is not let in gets a 401, which has nothing
    to do with XSRF.
    """

    auth_resource = RESOURCE
    #: The scoped key that the request came with.
    key: KeyRecord | None = None
    #: The kernel whose key the request came with.
    kernel: Kernel | None = None
    #: The project that the path names, by id or path; None if it names none.
    project_in_path: str | None = None

    def initialize(self, services: Services) -> None:
        """Keep what the handler may use."""
        self.services = services
        self.bound_body(services.bodies, services.max_request_bytes)

    async def admit(self) -> None:
        """Let the caller in.

        Raises
        ------
        HTTPError
            The caller may not come in.
        """
        self.project_in_path = self.path_kwargs.pop("project", None)
        self._accept_anthropics_key()
        self.kernel = await self._checked_kernel()
        if self.kernel is not None:
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

    async def check_key_again(self) -> None:
        """Raise APIError if the key of a long connection is not good any more.

        It may be revoked by now, or its kernel may have ended.
        """
        if self.key is not None:
            self.key = await self._checked_key()
        if self.kernel is not None:
            self.kernel = await self._checked_kernel()

    def check_host(self) -> bool:
        """Whether the `Host` header names this server; raises APIError if not."""
        if not super().check_host():
            raise APIError(
                403,
                "The Host header does not name this server. If it should be "
                "reachable by that name, set ServerApp.allow_remote_access.",
                code="foreign_host",
            )
        return True

    def get_login_url(self) -> str:
        """Raise APIError 401: an API client has no use for a login page."""
        raise self.unauthorized()

    def unauthorized(self) -> APIError:
        """The error for a caller without a valid key; it says where to get one."""
        from_hub = hasattr(self.identity_provider, "hub_auth")
        where = AT_A_HUB if from_hub else AT_A_SERVER
        return APIError(
            401, f"Invalid API key, or none. {where}", code="invalid_api_key"
        )

    @property
    def caller(self) -> Caller:
        """Who calls.

        Jupyter makes up a new user for every request with the server's token and no
        cookie, and one for every browser. All of these are one caller here.
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
            await self.services.projects.resolve(self.project_in_path, self.caller)

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
        # A caller with the token may do more than a caller without a key, so the token
        # counts even where no key is needed.
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

    async def _checked_kernel(self) -> Kernel | None:
        """The kernel of the request's key, None for another key.

        Raises APIError if the kernel has ended.
        """
        kernel = await self.services.kernels.check(self._bearer())
        if kernel is not None and not kernel.running:
            raise APIError(
                401, "The kernel of this key has ended.", code="invalid_api_key"
            )
        return kernel

    async def _checked_key(self) -> KeyRecord:
        """The scoped key of the request; raises APIError if it is not valid."""
        try:
            found = await self.services.keyring.check(self._bearer())
        except StoreUnavailable as error:
            raise api_error(error) from error
        if isinstance(found, str):
            text = f"Invalid API key: {found}"
            raise APIError(401, text, code="invalid_api_key")
        return found


def _is_made_up(user: User) -> bool:
    """Whether Jupyter made `user` up for a caller without a name."""
    made_up = _MADE_UP_NAME.fullmatch(user.username) is not None
    return made_up and str(user.display_name).startswith("Anonymous ")
