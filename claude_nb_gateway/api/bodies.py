"""The bodies of requests: read only from callers who may ask, and limited in total."""

from __future__ import annotations

import functools
from asyncio import Future
from collections.abc import Awaitable, Callable
from typing import Any, cast

from jupyter_server.base.handlers import APIHandler
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError, stream_request_body
from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from .errors import APIError

# The body of a refused request is read too, and thrown away. Otherwise its client would
# be cut off while it sends, and would never see the answer.
MOST_THROWN_AWAY_BYTES = 512 * 2**20


class Bodies(LoggingConfigurable):
    """The size of the bodies that all requests together hold now."""

    max_bytes = Integer(
        256 * 2**20,
        config=True,
        help="""Maximum size of the bodies of all requests that are being answered,
        together. A request that would exceed it is refused.""",
    )
    timeout_seconds = Float(
        120.0,
        config=True,
        help="""Maximum time for the body of a request to arrive. After it the
        connection is closed.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.held_bytes = 0


class HeldBody:
    """The body that one request holds, counted in `bodies` until it is released."""

    def __init__(self, bodies: Bodies) -> None:
        self.size_bytes = 0
        self._bodies = bodies
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> bool:
        """Keep `chunk` too; returns False, and keeps nothing, if there is no room."""
        if self._bodies.held_bytes + len(chunk) > self._bodies.max_bytes:
            return False
        self._bodies.held_bytes += len(chunk)
        self.size_bytes += len(chunk)
        self._chunks.append(chunk)
        return True

    def take(self) -> bytes:
        """The whole body. It stays counted."""
        whole = b"".join(self._chunks)
        self._chunks.clear()
        return whole

    def release(self) -> None:
        """Hold nothing any more; it may be called again."""
        self._bodies.held_bytes -= self.size_bytes
        self.size_bytes = 0
        self._chunks.clear()


@stream_request_body
class BodyHandler(APIHandler):
    """Admits a request by its headers, and only then reads its body.

    The body counts as held until the request is answered.
    """

    #: The body that the request holds.
    held: HeldBody
    #: Maximum size of a body here, whatever the server is set to; None for no limit.
    most_body_bytes: int | None = None
    _bodies: Bodies
    _refusal: HTTPError | None = None
    _most_bytes = 0
    _body_is_read = False

    def bound_body(self, bodies: Bodies, most_bytes: int) -> None:
        """Set the limits of the body; to be called before `prepare`."""
        self._bodies = bodies
        self.held = HeldBody(bodies)
        own = self.most_body_bytes
        self._most_bytes = most_bytes if own is None else min(own, most_bytes)
        connection = cast("HTTP1Connection", self.request.connection)
        connection.set_max_body_size(max(MOST_THROWN_AWAY_BYTES, most_bytes))
        connection.set_body_timeout(bodies.timeout_seconds)

    def keep_body(self) -> HeldBody:
        """The held body; the caller releases it, later than the answer."""
        held, self.held = self.held, HeldBody(self._bodies)
        return held

    async def admit(self) -> None:
        """Let the caller in, or raise HTTPError. The body has not been read yet."""
        await super().prepare()

    async def prepare(self) -> None:  # type: ignore[override]
        """Admit the request, or refuse it as soon as its body has been read."""
        try:
            announced = self.request.headers.get("Content-Length", "0")
            if announced.isdecimal() and int(announced) > self._most_bytes:
                raise self._too_large()
            await self.admit()
        except HTTPError as error:
            if self.request.headers.get("Expect"):
                raise  # the client sends its body only when it is asked to
            self._refusal = error
        name = (self.request.method or "").lower()
        method = functools.partial(self._with_body, getattr(self, name))
        setattr(self, name, method)

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body, if the caller was let in."""
        if self._refusal is not None or not self.current_user:
            return
        if self.held.size_bytes + len(chunk) > self._most_bytes:
            self._refusal = self._too_large()
        elif not self.held.add(chunk):
            self._refusal = APIError(
                429,
                "The requests that are being answered hold as many bytes as this "
                "gateway keeps (Bodies.max_bytes). Try again later.",
                code="server_busy",
            )
        if self._refusal is not None:
            self.held.release()

    def flush(self, include_footers: bool = False) -> Future[None]:
        """Announce in the headers that the connection closes, if it will."""
        if not self._headers_written and not self._body_is_read:
            # Tornado closes the connection after an answer that is sent before the
            # whole request was read. A client that did not know it would send its next
            # request in vain.
            self.set_header("Connection", "close")
        return super().flush(include_footers)

    def on_finish(self) -> None:
        """Release the body: the request is answered."""
        super().on_finish()
        self.held.release()

    def on_connection_close(self) -> None:
        """Release the part of the body that had arrived."""
        super().on_connection_close()
        self.held.release()

    def _with_body(
        self, method: Callable[..., Awaitable[None] | None], *args: Any, **kwargs: Any
    ) -> Awaitable[None] | None:
        self._body_is_read = True
        if self._refusal is not None:
            raise self._refusal
        self.request.body = self.held.take()
        return method(*args, **kwargs)

    def _too_large(self) -> APIError:
        remedy = "Send less, or raise GatewayApp.max_request_bytes on the server."
        if self._most_bytes == self.most_body_bytes:
            remedy = "Send less."
        return APIError(
            413,
            f"The request is larger than {self._most_bytes} bytes. {remedy}",
            code="request_too_large",
        )
