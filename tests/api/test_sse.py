"""Event streams to readers that pause, over real connections."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets

from claude_nb_gateway.api.sse import EventStream, encode, frame

pytestmark = pytest.mark.anyio

# More than what the system keeps on both sides of a connection.
LONG = "x" * 16 * 2**20


class Event(msgspec.Struct):
    text: str


class Answers(web.RequestHandler):
    """Streams one event for each of `texts`; keeps how that ended."""

    def initialize(self, ends, texts, reader_timeout):
        self.ends, self.texts, self.reader_timeout = ends, texts, reader_timeout

    async def get(self):
        stream = EventStream(self, 0.02, reader_timeout_seconds=self.reader_timeout)
        try:
            for text in self.texts:
                await stream.send([Event(text)])
            await stream.done()
        except (StreamClosedError, asyncio.CancelledError) as error:
            self.ends.put_nowait(error)
            raise
        finally:
            stream.close()
        self.ends.put_nowait(None)


@pytest.fixture
async def connect():
    """Ask a server for a stream; returns reader, writer and a queue of its ends."""
    servers, writers = [], []

    async def connect(texts, reader_timeout=20.0):
        ends = asyncio.Queue()
        options = {"ends": ends, "texts": texts, "reader_timeout": reader_timeout}
        server = HTTPServer(web.Application([("/", Answers, options)]))
        sockets = bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
        server.add_sockets(sockets)
        servers.append(server)
        port = sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        writers.append(writer)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        return reader, writer, ends

    yield connect
    for writer in writers:
        writer.close()
    for server in servers:
        server.stop()
        await server.close_all_connections()


async def pause(ends, seconds=0.2):
    """More than the keepalive, in which the stream must not end."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await ends.get()


async def test_reader_that_pauses_longer_than_the_keepalive_gets_all(connect):
    reader, _, ends = await connect([LONG, "last"])
    await pause(ends)
    async with asyncio.timeout(20):
        answer = await reader.read()
        assert await ends.get() is None
    assert answer.count(b"x") > len(LONG) - 1
    assert b'"last"' in answer
    assert b"data: [DONE]" in answer


async def test_nothing_is_written_behind_what_is_not_read(connect):
    reader, _, ends = await connect([LONG, "last"])
    await pause(ends)
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert b"keep-alive" not in answer


async def test_reader_that_reads_nothing_for_too_long_is_hung_up_on(connect):
    reader, _, ends = await connect([LONG, "last"], reader_timeout=0.2)
    async with asyncio.timeout(20):
        error = await ends.get()
    assert isinstance(error, StreamClosedError | asyncio.CancelledError)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(len(LONG))


async def test_reader_that_is_slow_but_reads_is_waited_for(connect):
    reader, _, ends = await connect([LONG] * 2, reader_timeout=0.5)
    answer = bytearray()
    async with asyncio.timeout(60):
        for _ in range(15):  # together longer than a reader may take nothing
            await pause(ends, 0.05)
            answer += await reader.readexactly(2**20)
        answer += await reader.read()
        assert await ends.get() is None
    assert answer.count(b"x") >= 2 * len(LONG)


@pytest.mark.parametrize(
    ("data", "name", "written"),
    [
        (b"{}", "", b"data: {}\n\n"),
        (b"[DONE]", "", b"data: [DONE]\n\n"),
        (b"{}", "message_stop", b"event: message_stop\ndata: {}\n\n"),
    ],
)
async def test_frame_has_its_data_and_its_name_if_any(data, name, written):
    assert frame(data, name) == written


async def test_event_is_one_line_however_lines_are_counted():
    text = "a\nb\r\x0b\x0c\x1c\x85\u2028\u2029é"
    encoded = encode(Event(text))
    assert encoded.decode().splitlines() == [encoded.decode()]
    assert "é".encode() in encoded
    assert msgspec.json.decode(encoded, type=Event).text == text
