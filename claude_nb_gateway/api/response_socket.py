"""`/v1/responses` as a WebSocket: one response after another on one connection."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .. import metrics
from ..wire.responses.events import ResponseWriter
from ..wire.responses.request import decode_response_create, named_previous
from ..wire.responses.socket_types import (
    HeadersEvent,
    ResponseCreate,
    SocketError,
    SocketErrorBody,
)
from ..wire.responses.types import Response
from .access_log import description
from .answering import Stream, Writer
from .auth import KERNEL_USER, LOCAL_USER, allowed_to
from .errors import APIError, error_of, http_errors
from .responses import ResponsesHandler
from .services import Services
from .sse import encode
from .stored_responses import StoredResponse

#: Maximum number of messages waiting while a response is made.
MOST_WAITING = 16

# https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
NORMAL = 1000
POLICY_VIOLATION = 1008

LIMIT_REACHED = APIError(
    400,
    "The connection is as old as it may become: open another.",
    code="websocket_connection_limit_reached",
)


class Frames:
    """Writes events to a WebSocket, one frame each.

    The connection to a client that reads nothing for too long, or does not answer a
    ping, is closed.
    """

    def __init__(self, socket: ResponsesSocket, writer: Writer) -> None:
        self.started = False
        self._socket = socket
        self._writer = writer

    async def send(self, events: Iterable[msgspec.Struct]) -> bool:
        """Write `events`, and wait until they are out.

        Returns whether the client was too slow to take them at once.

        Raises
        ------
        tornado.iostream.StreamClosedError
            The client is gone.
        """
        try:
            return await self._write(list(events))
        except WebSocketClosedError:
            raise StreamClosedError from None

    async def _write(self, events: list[msgspec.Struct]) -> bool:
        if not events:
            return False
        headers = self._socket.take_new_headers()
        if headers and isinstance(self._writer, ResponseWriter):
            events = [*self._writer.preceded(HeadersEvent(headers=headers), events)]
        writes = [self._socket.write_message(encode(event)) for event in events]
        for write in writes:
            write.add_done_callback(_ignore_closed)
        self.started = True
        behind = self._socket.is_behind
        timeout = self._socket.services.reader_timeout_seconds
        _, late = await asyncio.wait(writes, timeout=timeout)
        if late:
            self._socket.hang_up()
        await asyncio.gather(*writes)
        return behind

    async def done(self) -> None:
        """Write nothing: the last event says that it is the last."""

    def keep_alive(self) -> None:
        """Do nothing: pings keep the connection alive."""

    def close(self) -> None:
        """Do nothing: there are no comments to stop."""


class ResponsesSocket(ResponsesHandler, WebSocketHandler):
    """Answers `POST`, and opens a WebSocket for `GET`.

    A message is a request. Its answer is the events of a stream, one in each frame. One
    response is made at a time. The last response that is not stored is kept until the
    next one, or until the end of the connection, so that a message can continue it.
    """

    def initialize(self, services: Services) -> None:
        """Keep what the handler may use, and wait for messages."""
        super().initialize(services)
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._headers_to_send: dict[str, str] = {}
        self._headers_sent: dict[str, str] = {}
        self._begun = 0.0
        self._latest: StoredResponse | None = None
        # Only this connection has this name, so only it finds what is kept under it.
        self._private = f"connection:{uuid.uuid4().hex}"

    @allowed_to("execute")
    async def get(self) -> None:
        """Open the WebSocket, and answer its messages until it is closed."""
        self._check_upgrade()
        answering = asyncio.create_task(self._answer_messages())
        self.services.sockets.add(self)
        try:
            await super().get()
        finally:
            self.services.sockets.discard(self)
            answering.cancel()
            await asyncio.wait([answering])
            self._keep(None)

    def _check_upgrade(self) -> None:
        headers = self.request.headers
        wished = headers.get("Upgrade", "").lower()
        if (
            wished != "websocket"
            or "upgrade" not in headers.get("Connection", "").lower()
        ):
            raise APIError(
                426,
                "GET opens a WebSocket here: send `Upgrade: websocket`, or POST the "
                "request.",
                code="upgrade_required",
            )
        if not self.check_origin():
            raise APIError(
                403,
                "WebSockets of pages of other origins are refused; "
                "ServerApp.allow_origin says whom to let in.",
                code="foreign_origin",
            )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with an error; with 426 the headers name the protocol to use."""
        if status_code == 426:
            self.set_header("Upgrade", "websocket")
            self.set_header("Connection", "Upgrade")
        super().write_error(status_code, **kwargs)

    def check_origin(self, origin_to_satisfy_tornado: str = "") -> bool:
        """Whether the caller may connect; a web page of another origin may not."""
        # A browser adds no key on its own. The origin of a caller without a key was
        # checked before.
        if self.key is not None or self.current_user in (KERNEL_USER, LOCAL_USER):
            return True
        return bool(super().check_origin(origin_to_satisfy_tornado))

    @property
    def max_message_size(self) -> int:
        """Maximum size of one message, in bytes. A larger one ends the connection."""
        return self.services.max_request_bytes

    @property
    def ping_interval(self) -> float:
        """Time between two pings, in seconds."""
        return self.services.websocket_ping_seconds

    @property
    def ping_timeout(self) -> float:
        """Maximum time for the answer to a ping, in seconds."""
        return self.services.websocket_ping_seconds

    @property
    def is_behind(self) -> bool:
        """Whether some written data is not sent yet."""
        connection = self.ws_connection
        stream = None if connection is None else connection.stream
        return stream is not None and stream.writing()

    def hang_up(self) -> None:
        """Close the connection without waiting for the client."""
        if self.ws_connection is not None and self.ws_connection.stream is not None:
            self.ws_connection.stream.close()

    def open(self) -> None:
        """Send small frames at once."""
        self.set_nodelay(True)

    def on_message(self, message: str | bytes) -> None:
        """Let the message wait for its turn; too many waiting close the connection."""
        data = message.encode() if isinstance(message, str) else message
        size_bytes = sum(map(len, self._waiting)) + len(data)
        if len(self._waiting) >= MOST_WAITING or size_bytes > self.max_message_size:
            self.close(POLICY_VIOLATION, "too many messages wait for their answers")
            return
        self._waiting.append(data)
        self._arrived.set()

    def take_new_headers(self) -> dict[str, str]:
        """The headers that the client has not got yet."""
        new = dict(self._headers_to_send.items() - self._headers_sent.items())
        self._headers_sent.update(new)
        return new

    @property
    def _posted(self) -> bool:
        return self.request.method == "POST"

    def tell(self, name: str, value: str) -> None:
        """Tell the client, with the next events."""
        if self._posted:
            super().tell(name, value)
        else:
            self._headers_to_send[name] = value

    def waited_seconds(self) -> float:
        """How long the client has waited so far."""
        if self._posted:
            return super().waited_seconds()
        return asyncio.get_running_loop().time() - self._begun

    def event_stream(self, writer: Writer) -> Stream:
        """The stream that sends what `writer` makes."""
        return super().event_stream(writer) if self._posted else Frames(self, writer)

    async def end_stream(self, stream: Stream, writer: Writer) -> None:
        """End the stream: all events are sent."""
        if self._posted:
            await super().end_stream(stream, writer)

    @property
    def names(self) -> tuple[str, ...]:
        """The principals whose responses the caller may use."""
        return (*super().names, self._private)

    def keeper(self, response: Response) -> str | None:
        """The principal for whom `response` is kept."""
        return super().keeper(response) or (None if self._posted else self._private)

    async def _answer_messages(self) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.services.websocket_connection_seconds
        while not self.client_gone:
            left = ends - loop.time()
            message = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    min(left, self.services.websocket_idle_seconds)
                ):
                    message = await self._next_message()
            if ends <= loop.time():
                await self._send_error(LIMIT_REACHED)
                self.close(NORMAL, "the connection is as old as it may become")
                return
            if message is None:
                self.close(NORMAL, "nothing was asked for too long")
                return
            await self._answer_in_a_task(message)

    async def _next_message(self) -> bytes:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    async def _answer_in_a_task(self, message: bytes) -> None:
        # To cancel a response is to cancel its task; the connection must stay open.
        task = asyncio.create_task(self._answer(message))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _answer(self, message: bytes) -> None:
        self._begun = asyncio.get_running_loop().time()
        self._headers_to_send, self._headers_sent, self.failed_midway = {}, {}, False
        status = 200
        try:
            with self.only_for_its_reader(), http_errors():
                await self.check_key_again()
                await self._respond_to(message)
        except Exception as error:  # noqa: BLE001 - it is the answer
            status = await self._send_error(error)
        if status >= 400 or self.failed_midway:
            self._evict(named_previous(message))
        outcome = self._outcome(status)
        metrics.REQUESTS.labels(self.endpoint, outcome).inc()

    async def _respond_to(self, message: bytes) -> None:
        create = await self.decoded(decode_response_create, message)
        if create is None:
            return
        answer = self.respond if create.generate is not False else self._warm
        stored = await answer(create, len(message))
        if stored.principal == self._private:
            self._keep(None if self.failed_midway else stored)

    async def _warm(self, create: ResponseCreate, size_bytes: int) -> StoredResponse:
        """Store what `create` sends, without asking the model."""
        asked = await self.read(create)
        await self.event_stream(asked.writer).send(asked.writer.skip())
        self.services.responses.add(asked.stored, size_bytes)
        self.services.responses.settle(asked.stored)
        return asked.stored

    def _keep(self, stored: StoredResponse | None) -> None:
        if self._latest is not None:
            self.services.responses.forget(self._latest)
        self._latest = stored

    def _evict(self, response_id: str | None) -> None:
        if self._latest is not None and self._latest.id == response_id:
            self._keep(None)

    async def _send_error(self, error: Exception) -> int:
        """Write the `error` event for `error`; returns its status."""
        status = error.status_code if isinstance(error, HTTPError) else 500
        if isinstance(error, APIError):
            self.log.warning("websocket: %d %s", status, description(error))
        elif status >= 500:
            self.log.error("websocket: %s", error, exc_info=error)
        body = error_of(error, status)
        event = SocketError(
            status=status,
            error=SocketErrorBody(
                type=body.type,
                code=body.code or body.type,
                message=body.message,
                param=body.param,
            ),
        )
        if isinstance(error, APIError) and error.retry_after_seconds:
            event.headers = {"Retry-After": str(error.retry_after_seconds)}
        with contextlib.suppress(WebSocketClosedError):
            await self.write_message(encode(event))
        return status


def _ignore_closed(write: asyncio.Future[None]) -> None:
    # The task that waited for it may be cancelled: the client is gone.
    if not write.cancelled():
        write.exception()
