"""The bodies of requests: taken in only from who may ask, and so much in all."""

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

# The body of a request that is refused is read all the same, and thrown away: its
# client would otherwise be cut off while it sends, and never see the answer.
MOST_THROWN_AWAY_BYTES = 512 * 2**20


class Bodies(LoggingConfigurable):
    """How much of bodies is held now by all requests together."""

    max_bytes = Integer(
        256 * 2**20,
        config=True,
        help="""So much the bodies of all requests that are being answered may have
        together; what is more is refused.""",
    )
    timeout_seconds = Float(
        120.0,
        config=True,
        help="A request whose body takes longer to arrive is hung up on.",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.held_bytes = 0


class HeldBody:
    """What one request holds of `bodies`, until it is released."""

    def __init__(self, bodies: Bodies) -> None:
        self.size_bytes = 0
        self._bodies = bodies
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> bool:
        """Keep `chunk` too; returns whether there was room for it."""
        if self._bodies.held_bytes + len(chunk) > self._bodies.max_bytes:
            return False
        self._bodies.held_bytes += len(chunk)
        self.size_bytes += len(chunk)
        self._chunks.append(chunk)
        return True

    def take(self) -> bytes:
        """The whole body; it still counts."""
        whole = b"".join(self._chunks)
        self._chunks.clear()
        return whole

    def release(self) -> None:
        """Hold nothing any more; may be called again."""
        self._bodies.held_bytes -= self.size_bytes
        self.size_bytes = 0
        self._chunks.clear()


@stream_request_body
class BodyHandler(APIHandler):
    """Lets a request in by its headers, and reads its body only then.

    The body counts as held until the request is answered.
    """

    #: What the request holds of the bodies of all.
    held: HeldBody
    #: So large a body may be at most, whatever the server is set to.
    most_body_bytes: int | None = None
    _bodies: Bodies
    _refusal: HTTPError | None = None
    _most_bytes = 0
    _body_is_read = False

    def bound_body(self, bodies: Bodies, most_bytes: int) -> None:
        """Say how large the body may be; before `prepare`."""
        self._bodies = bodies
        self.held = HeldBody(bodies)
        own = self.most_body_bytes
        self._most_bytes = most_bytes if own is None else min(own, most_bytes)
        connection = cast("HTTP1Connection", self.request.connection)
        connection.set_max_body_size(max(MOST_THROWN_AWAY_BYTES, most_bytes))
        connection.set_body_timeout(bodies.timeout_seconds)

    def keep_body(self) -> HeldBody:
        """What the request holds, for who releases it later than its answer."""
        held, self.held = self.held, HeldBody(self._bodies)
        return held

    async def admit(self) -> None:
        """Let the caller in, or raise HTTPError; the body is not there yet."""
        await super().prepare()

    async def prepare(self) -> None:  # type: ignore[override]
        """Admit the request, or refuse it as soon as its body is out of the way."""
        try:
            announced = self.request.headers.get("Content-Length", "0")
            if announced.isdecimal() and int(announced) > self._most_bytes:
                raise self._too_large()
            await self.admit()
        except HTTPError as error:
            if self.request.headers.get("Expect"):
                raise  # its client sends no body before it is asked to
            self._refusal = error
        name = (self.request.method or "").lower()
        method = functools.partial(self._with_body, getattr(self, name))
        setattr(self, name, method)

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body, if somebody who may ask sends it."""
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
        """Say in the headers that the connection ends, where it will."""
        if not self._headers_written and not self._body_is_read:
            # Tornado hangs up after an answer that comes before the whole request,
            # and a client that did not know would send its next one into the void.
            self.set_header("Connection", "close")
        return super().flush(include_footers)

    def on_finish(self) -> None:
        """Count the body no longer."""
        super().on_finish()
        self.held.release()

    def on_connection_close(self) -> None:
        """Count what came of the body no longer."""
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
