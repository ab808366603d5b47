"""A stand-in for the Anthropic Messages API, on loopback.

With ``ANTHROPIC_BASE_URL`` the Claude Code CLI uses it instead of the real API. So the
CLI runs without an account and without a network, and only the model is not real.

    with ModelServer() as model:
        model.script(Reply(["Hello ", "world"]))
        ...  # run something with ANTHROPIC_BASE_URL=model.url
        model.requests[0].messages

The wire format is that of https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from tornado import web
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets

Event = dict[str, Any]


@dataclass(frozen=True)
class ToolUse:
    """A tool call of the model; `fragments` are pieces of its JSON input."""

    name: str
    fragments: Sequence[str] = ("{}",)
    id: str = "toolu_standin"


@dataclass(frozen=True)
class Reply:
    """One scripted answer.

    A `status` other than 200 is sent as an API error. With `hang="before"` there is no
    answer at all; with `hang="after"` the answer never ends. `drop_after` is the number
    of text deltas after which the connection is closed.
    """

    text: Sequence[str] = ()
    thinking: Sequence[str] = ()
    tool_uses: Sequence[ToolUse] = ()
    first_delay_seconds: float = 0.0
    delay_seconds: float = 0.0
    status: int = 200
    error_type: str = "api_error"
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: Literal["before", "after"] | None = None
    drop_after: int | None = None
    stop_reason: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str | None = None


@dataclass
class RecordedRequest:
    """A request that reached the stand-in, and how it ended."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    received: float = field(default_factory=time.monotonic)
    first_delta: float | None = None
    answered: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The turns in order, without the CLI's own ``role: "system"`` messages."""
        turns: list[dict[str, Any]] = self.body.get("messages", [])
        return [turn for turn in turns if turn["role"] != "system"]

    @property
    def session(self) -> str:
        """The id of the Claude Code session that sent the request."""
        return self.headers.get("X-Claude-Code-Session-Id", "")

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Role and text of each turn, without the CLI's ``<system-reminder>``."""
        return [(turn["role"], _text_of(turn["content"])) for turn in self.messages]

    @property
    def system(self) -> str:
        """The system prompt, its blocks joined by newlines."""
        return _text_of(self.body.get("system", ""))


def _text_of(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    texts = [block["text"] for block in content if block["type"] == "text"]
    return "\n".join(t for t in texts if not t.startswith("<system-reminder>"))


Responder = Callable[[RecordedRequest], Reply]


def echo(request: RecordedRequest) -> Reply:
    """The default answer: the text of the last user turn, word by word."""
    last = request.turns[-1][1] if request.turns else ""
    words = last.split(" ")
    return Reply([w + " " for w in words[:-1]] + words[-1:])


def events(reply: Reply, model: str) -> Iterator[Event]:
    """The server-sent events of `reply`, in the Messages API's order."""
    usage = {"input_tokens": 10, "output_tokens": 1, **reply.usage}
    yield {
        "type": "message_start",
        "message": {
            "id": f"msg_{time.monotonic_ns():x}",
            "type": "message",
            "role": "assistant",
            "model": reply.model or model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        },
    }
    for index, (block, deltas) in enumerate(_blocks(reply)):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    output = reply.usage.get("output_tokens", len(reply.text) + len(reply.thinking))
    stop_reason = reply.stop_reason or ("tool_use" if reply.tool_uses else "end_turn")
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {**usage, "output_tokens": output},
    }
    yield {"type": "message_stop"}


def _blocks(reply: Reply) -> Iterator[tuple[Event, list[Event]]]:
    if reply.thinking:
        yield (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": t} for t in reply.thinking]
            + [{"type": "signature_delta", "signature": "c2lnbmF0dXJl"}],
        )
    if reply.text:
        yield (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": text} for text in reply.text],
        )
    for use in reply.tool_uses:
        yield (
            {"type": "tool_use", "id": use.id, "name": use.name, "input": {}},
            [
                {"type": "input_json_delta", "partial_json": part}
                for part in use.fragments
            ],
        )


def fold(reply: Reply, model: str) -> Event:
    """`reply` as one JSON object, for requests that do not stream."""
    message: Event = {}
    for event in events(reply, model):
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] = event["usage"]
    for block, _ in _blocks(reply):
        if block["type"] == "text":
            block["text"] = "".join(reply.text)
        elif block["type"] == "thinking":
            block["thinking"] = "".join(reply.thinking)
            block["signature"] = "c2lnbmF0dXJl"
        else:
            use = next(use for use in reply.tool_uses if use.id == block["id"])
            block["input"] = json.loads("".join(use.fragments))
        message["content"].append(block)
    return message


class ModelServer:
    """The stand-in's HTTP server, on a free loopback port.

    As a context manager it runs in its own thread; `start` and `stop` run it on the
    current event loop instead. It answers requests with the scripted replies in order,
    and then with `responder`.
    """

    def __init__(self, responder: Responder = echo) -> None:
        self.responder = responder
        self.requests: list[RecordedRequest] = []
        #: Method and path of each request to anything but ``/v1/messages``.
        self.elsewhere: list[str] = []
        self.url = ""
        self._script: deque[Reply] = deque()
        self._cut: set[str] = set()
        self._over: set[str] = set()
        self._arrived = threading.Condition()
        self._server: HTTPServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with `replies`, one each, in order."""
        self._script.extend(replies)

    def reset(self) -> None:
        """Forget scripted replies and recorded requests, and restore the echo.

        A session whose answer reached its token limit may ask to continue even later.
        Such requests are not recorded any more.
        """
        self._script.clear()
        self._over |= self._cut
        self.requests.clear()
        self.elsewhere.clear()
        self.responder = echo

    def wait_for_request(self, count: int = 1, timeout: float = 20.0) -> None:
        """Block until `count` requests have arrived; raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came")

    def answer(self, request: RecordedRequest) -> Reply:
        """Record `request` and choose its reply."""
        if request.session in self._over:
            return Reply(hang="before")
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        reply = self._script.popleft() if self._script else self.responder(request)
        if reply.stop_reason == "max_tokens":
            self._cut.add(request.session)
        return reply

    def start(self) -> None:
        """Listen, on the event loop of the calling thread."""
        routes = [
            (r"/v1/messages", _Messages, {"model": self}),
            (r".*", _Elsewhere, {"model": self}),
        ]
        app = web.Application(routes, log_function=lambda handler: None)
        self._server = HTTPServer(app, max_buffer_size=256 * 2**20)
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening, and close all connections."""
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()
            self._server = None

    def __enter__(self) -> ModelServer:
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="model stand-in", daemon=True
        )
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        loop = self._loop
        asyncio.run_coroutine_threadsafe(self.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(10)

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            asyncio.set_event_loop(self._loop)
            self._loop.call_soon(self.start)
            self._loop.call_soon(ready.set)
            self._loop.run_forever()


class _Elsewhere(web.RequestHandler):
    """All other paths of the API: there is nothing."""

    def initialize(self, model: ModelServer) -> None:
        """Keep the stand-in that gets the requests."""
        self.model = model

    def prepare(self) -> None:
        """Record the request, and answer 404."""
        self.model.elsewhere.append(f"{self.request.method} {self.request.path}")
        self.send_error(404)


class _Messages(web.RequestHandler):
    """``/v1/messages``: answers with the replies of the stand-in."""

    def initialize(self, model: ModelServer) -> None:
        """Keep the stand-in that gets the requests."""
        self.model = model
        self.task: asyncio.Task[Any] | None = None
        self.record: RecordedRequest | None = None

    def on_connection_close(self) -> None:
        """Stop the answer when the client is gone."""
        if self.record is not None and not self.record.answered.is_set():
            self.record.abandoned.set()
        if self.task is not None:
            self.task.cancel()

    async def post(self) -> None:
        """Record the request, and answer it."""
        self.task = asyncio.current_task()
        body = json.loads(self.request.body)
        self.record = RecordedRequest(
            self.request.path, dict(self.request.headers), body
        )
        reply = self.model.answer(self.record)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._answer(self.record, reply)
        except StreamClosedError:
            # The write noticed first that the client is gone. Then Tornado does not
            # call `on_connection_close`.
            self.record.abandoned.set()

    async def _answer(self, record: RecordedRequest, reply: Reply) -> None:
        if reply.hang == "before":
            await asyncio.Event().wait()
        await asyncio.sleep(reply.first_delay_seconds)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        model = record.body.get("model", "unknown")
        if reply.status != 200:
            self.set_status(reply.status)
            error = {"type": reply.error_type, "message": reply.message}
            self.finish({"type": "error", "error": error})
        elif record.body.get("stream"):
            await self._stream(record, reply, model)
        else:
            self.finish(fold(reply, model))
        record.answered.set()

    async def _stream(self, record: RecordedRequest, reply: Reply, model: str) -> None:
        self.set_header("Content-Type", "text/event-stream")
        sent = 0
        for event in events(reply, model):
            kind = event.get("delta", {}).get("type")
            if kind in ("text_delta", "thinking_delta"):
                await asyncio.sleep(reply.delay_seconds)
                record.first_delta = record.first_delta or time.monotonic()
            if kind == "text_delta":
                if sent == reply.drop_after:
                    await self.flush()
                    self.detach().close()
                    return
                sent += 1
            if event["type"] == "message_delta" and reply.hang == "after":
                await self.flush()
                await asyncio.Event().wait()
            self.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")
            if reply.delay_seconds or event["type"] == "message_start":
                await self.flush()
        self.finish()
