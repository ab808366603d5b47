"""What all handlers under ``/v1`` share: headers, errors in one shape, counts."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from asyncio import Future
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from .. import metrics
from ..claude_code.surrogates import encode
from ..wire.errors import ErrorResponse
from ..wire.fields import Fields
from .auth import AuthHandler
from .bounds import check_values
from .errors import APIError, error_of
from .limits import PREFIX as LIMITS
from .limits import WINDOWS, limit_headers

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

#: Maximum size of the body of a request about a project or session. The longest system
#: prompt fits in it, even if each of its characters is escaped.
MOST_RESOURCE_BYTES = 2 * 2**20

# OpenAI accepts 512 printable characters as a client's name for a request.
_REQUEST_ID = re.compile(r"[ -~]{1,512}")

Request = TypeVar("Request", bound=msgspec.Struct)


class GatewayHandler(AuthHandler):
    """Base of the gateway's handlers."""

    #: The name under which requests are counted; None if they are not counted.
    endpoint: str | None = None
    #: Whether the client closed the connection before the answer was complete.
    client_gone = False
    #: Whether the answer broke off after its status was sent.
    failed_midway = False
    #: The error that the request was answered with.
    sent_error: APIError | None = None
    _work: asyncio.Task[Any] | None = None

    def set_default_headers(self) -> None:
        """Name the request; the client's own name for it is used if it has one."""
        super().set_default_headers()
        wished = self.request.headers.get(REQUEST_ID_HEADER, "")
        if not _REQUEST_ID.fullmatch(wished):
            wished = f"req_{uuid.uuid4().hex}"
        self.set_header(REQUEST_ID_HEADER, wished)

    def flush(self, include_footers: bool = False) -> Future[None]:
        """Add the headers about time and limits before the headers are sent."""
        if not self._headers_written:
            took_ms = round(self.request.request_time() * 1e3)
            self.set_header(PROCESSING_HEADER, str(took_ms))
            if self.endpoint is not None:
                for name, value in limit_headers(self.services.manager.rate_limits):
                    self.set_header(name, value)
        return super().flush(include_footers)

    @allow_unauthenticated
    def options(self, *args: Any, **kwargs: Any) -> None:
        """Answer a browser's preflight; `ServerApp.allow_origin` says who may come in.

        All headers that the browser asks about are allowed: clients of OpenAI's API
        send headers of their own (``x-stainless-…``).
        """
        super().options(*args, **kwargs)
        wished = self.request.headers.get("Access-Control-Request-Headers")
        if wished:
            self.set_header("Access-Control-Allow-Headers", wished)

    def set_cors_headers(self) -> None:
        """Let pages of other origins read the gateway's headers, if any may come in."""
        super().set_cors_headers()
        if "Access-Control-Allow-Origin" in self._headers:
            self.set_header("Access-Control-Expose-Headers", ", ".join(OWN_HEADERS))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the API's error object, whatever went wrong."""
        exception = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(exception, APIError) and exception.retry_after_seconds:
            self.set_header("Retry-After", exception.retry_after_seconds)
        if isinstance(exception, APIError) and exception.is_permanent:
            # With this the official clients of both APIs do not try again.
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
        """Log an exception; an APIError is kept for the request's own line instead."""
        if isinstance(value, APIError):
            self.sent_error = value
        else:
            super().log_exception(typ, value, tb)

    def send_error_body(self, exception: BaseException | None, status: int) -> None:
        """Finish with the error as JSON, in the shape of the API."""
        self.send_json(ErrorResponse(error_of(exception, status)))

    def send_json(self, answer: msgspec.Struct) -> None:
        """Finish with `answer` as JSON."""
        self.finish(encode(answer))

    def on_connection_close(self) -> None:
        """Cancel the work for a client that is gone."""
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
        """Leave the body of this context when the client closes the connection."""
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
        except StreamClosedError:
            # Who writes may learn of it before `on_connection_close` does.
            self.client_gone = True
        finally:
            self._work = None


class ResourceHandler(GatewayHandler):
    """Base of the handlers of projects and sessions, whose bodies are small."""

    most_body_bytes = MOST_RESOURCE_BYTES

    def read(self, fields: Fields[Request], body: bytes | None = None) -> Request:
        """The request's body, or `body`, decoded with `fields`.

        Raises
        ------
        InvalidRequest
        """
        body = self.request.body if body is None else body
        check_values(body)
        return fields.decode(body)
