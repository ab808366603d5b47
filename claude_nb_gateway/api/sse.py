"""Server-sent events: the one place that writes their frames."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from ..claude_code import surrogates

# A reader must take one piece within the timeout. So a slow reader gets all, and one
# that reads nothing does not.
PIECE_BYTES = 64 * 2**10

# JSON allows these characters as they are. A reader that splits lines as
# `str.splitlines` does would cut an event in two.
_LINE_BREAKS = {
    "\x85".encode(): rb"\u0085",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}


def frame(data: bytes, name: str = "") -> bytes:
    """One server-sent event with `data`, which is one line, and a name if given."""
    if name:
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
    return b"data: %b\n\n" % data


def encode(event: Any) -> bytes:
    """`event` as JSON on one line, by any definition of a line."""
    data = surrogates.encode(event)
    if not data.isascii():
        for character, escaped in _LINE_BREAKS.items():
            data = data.replace(character, escaped)
    return data


class EventStream:
    """Writes events to the client of `handler`.

    The first write sends the status and the headers. Until then an error can still be
    an HTTP status.

    Parameters
    ----------
    keepalive_seconds:
        After `keep_alive`, the time without a write after which a comment is written,
        so that proxies do not close the connection.
    names_events:
        Whether each event has its type as its name.
    reader_timeout_seconds:
        The maximum time for which a reader may take nothing while there is something to
        take. Then the connection is closed.
    """

    def __init__(
        self,
        handler: RequestHandler,
        keepalive_seconds: float,
        names_events: bool = False,
        *,
        reader_timeout_seconds: float,
    ) -> None:
        self.started = False
        self._names_events = names_events
        self._handler = handler
        self._keepalive = keepalive_seconds
        self._reader_timeout = reader_timeout_seconds
        self._flushed: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def keep_alive(self) -> None:
        """Write comments from now on, whenever nothing else is written for long."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._keepalive, self._tick)

    async def send(self, events: Iterable[msgspec.Struct]) -> bool:
        """Write `events` as JSON, one frame each, and wait until they are out.

        Returns whether the client was too slow to take them at once.

        Raises
        ------
        tornado.iostream.StreamClosedError
            The client is gone, or takes nothing any more. Then its handler's task is
            cancelled, as for every client that is gone.
        """
        frames = b"".join(frame(encode(event), self._name(event)) for event in events)
        return await self._write(frames) if frames else False

    async def done(self) -> None:
        """Write the last event of a stream."""
        await self._write(frame(b"[DONE]"))

    def close(self) -> None:
        """Stop the keepalive."""
        if self._timer is not None:
            self._timer.cancel()

    def _name(self, event: msgspec.Struct) -> str:
        return str(event.__struct_config__.tag) if self._names_events else ""

    async def _write(self, data: bytes) -> bool:
        # Tornado forgets the first of two flushes at a time, so it would never end.
        slow = await self._wait_for_reader()
        for start in range(0, len(data), PIECE_BYTES):
            self._put(data[start : start + PIECE_BYTES])
            slow = await self._wait_for_reader() or slow
        return slow

    async def _wait_for_reader(self) -> bool:
        """Wait until all written data is sent; returns whether it had to wait."""
        if self._flushed is None:
            return False
        slow = not self._flushed.done()
        if slow:
            await asyncio.wait([self._flushed], timeout=self._reader_timeout)
            if not self._flushed.done():
                await self._hang_up()
        self._flushed.result()
        return slow

    async def _hang_up(self) -> None:
        connection = cast("HTTP1Connection", self._handler.request.connection)
        connection.stream.close()
        self._handler.on_connection_close()
        await asyncio.sleep(0)  # a cancellation takes effect here
        raise StreamClosedError

    def _put(self, data: bytes) -> None:
        if not self.started:
            self.started = True
            self._handler.set_header("Content-Type", "text/event-stream")
            self._handler.set_header("Cache-Control", "no-cache")
            self._handler.set_header("X-Accel-Buffering", "no")
        self._last_write = self._loop.time()
        self._handler.write(data)
        self._flushed = self._handler.flush()

    def _tick(self) -> None:
        due = self._last_write + self._keepalive
        if self._loop.time() >= due:
            # A comment behind data that is not read yet would be of no use.
            if self._flushed is None or self._flushed.done():
                self._put(b": keep-alive\n\n")
                assert self._flushed is not None
                self._flushed.add_done_callback(_ignore_closed)
            due = self._loop.time() + self._keepalive
        self._timer = self._loop.call_at(due, self._tick)


def _ignore_closed(flushed: asyncio.Future[None]) -> None:
    # The handler notices a client that is gone, and cancels the turn.
    if not flushed.cancelled():
        flushed.exception()
