"""What is measured: the CLI alone, this gateway, and another gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil
from tornado.httpclient import AsyncHTTPClient

from claude_nb_gateway.claude_code import command, protocol
from claude_nb_gateway.claude_code.manager import CLIManager
from claude_nb_gateway.claude_code.profile import PLAIN
from claude_nb_gateway.claude_code.tools import call_in, initialize_fields, response_to
from claude_nb_gateway.claude_code.turns import Tool
from claude_nb_gateway.demo.answers import demo_environment
from claude_nb_gateway.testing.server import KEY, running_gateway

from .model import Order

SYSTEM = "You are a helpful assistant."
TOOL = Tool("look_up", "Looks something up.", '{"type": "object"}')
START_SECONDS = 30
ANSWER_SECONDS = 120
READ_BYTES = 2**18


@dataclass
class Answer:
    """The answer to a question, with times in seconds of the monotonic clock."""

    asked: float
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)

    def texts(self) -> list[tuple[float, str]]:
        """The text of each delta, and the time when it arrived."""
        found: list[tuple[float, str]] = []
        rest = b""
        for arrived, data in self.arrivals:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                found += [(arrived, text) for text in _texts_of(line)]
        return found

    @property
    def first_token_ms(self) -> float:
        """The time from the question to the first delta."""
        return (self.texts()[0][0] - self.asked) * 1e3

    @property
    def turns(self) -> int:
        """The number of turns that the model got."""
        return int(self.texts()[0][1].split()[0])

    @property
    def call_id(self) -> str:
        """The id of the first call."""
        found = re.search(rb'"tool_calls":\[\{"index":0,"id":"([^"]+)"', self.data)
        assert found is not None, self.data
        return found[1].decode()

    @property
    def data(self) -> bytes:
        """All bytes that arrived."""
        return b"".join(data for _, data in self.arrivals)

    @property
    def content(self) -> str:
        """The text of the whole answer."""
        return "".join(text for _, text in self.texts())

    @property
    def delays_ms(self) -> list[float]:
        """The time that each delta took to arrive, without the first ones."""
        return [
            arrived * 1e3 - int(stamp) / 1e6
            for arrived, text in self.texts()[5:]
            for stamp in text.split()
        ]

    @property
    def deltas_a_second(self) -> float:
        """The number of deltas per second, from the first to the last."""
        texts = self.texts()
        return len(self.content.split()) / (texts[-1][0] - texts[0][0])


def _texts_of(line: bytes) -> Iterator[str]:
    if b'"text_delta"' in line:
        yield json.loads(line)["event"]["delta"]["text"]
    elif line.startswith(b"data: {"):
        event = json.loads(line[6:])
        if "error" in event:
            raise RuntimeError(event["error"])
        for choice in event["choices"]:
            if choice["delta"].get("content"):
                yield choice["delta"]["content"]


@dataclass
class CLIAlone:
    """One CLI process without a gateway: the minimum that any gateway needs."""

    process: asyncio.subprocess.Process
    answered: int = 0
    speaks: asyncio.Event = field(default_factory=asyncio.Event)
    _read: bytes = b""

    @classmethod
    async def start(cls, model_url: str, directory: Path) -> CLIAlone:
        """Start a process, in the same way as the gateway."""
        environment = command.child_environment(
            os.environ, extra=demo_environment(model_url, str(directory)), max_retries=0
        )
        process = await asyncio.create_subprocess_exec(
            *command.command_for(CLIManager().find_cli(), PLAIN),
            env=environment,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return cls(process)

    async def ask(self, question: Order) -> Answer:
        """Ask; the first question also initializes the process."""
        messages: list[dict[str, Any]] = [
            protocol.user_message([{"type": "text", "text": question.text()}])
        ]
        if not self.answered:
            tools = initialize_fields([TOOL] if question.call else [])
            first = {"subtype": "initialize", "systemPrompt": [SYSTEM], **tools}
            model = {"subtype": "apply_flag_settings", "settings": {"model": "sonnet"}}
            messages = [
                protocol.control_request("1", first),
                protocol.control_request("2", model),
                *messages,
            ]
        self.answered += 1
        if question.call:
            await self._until(b'"tools/call"', messages)
            messages = [self._result()]
        return await self._until(b'"type":"result"', messages)

    async def _until(self, end: bytes, messages: list[dict[str, Any]]) -> Answer:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        answer = Answer(time.monotonic())
        self.process.stdin.write(b"".join(map(protocol.encode, messages)))
        self._read = b""
        while end not in self._read:
            data = await self.process.stdout.read(READ_BYTES)
            answer.arrivals.append((time.monotonic(), data))
            self._read = (self._read + data)[-READ_BYTES:]
            if b'"text_delta"' in self._read:
                self.speaks.set()
        return answer

    def _result(self) -> dict[str, Any]:
        for line in self._read.splitlines():
            if b'"tools/call"' in line:
                request = msgspec.json.decode(line, type=protocol.ControlRequest)
                call = call_in(request)
                assert call is not None
                return response_to(
                    call, {"content": [{"type": "text", "text": "result"}]}
                )
        raise AssertionError("no call")

    async def stop(self) -> None:
        """Stop the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()


@dataclass
class Server:
    """A gateway that answers OpenAI clients."""

    base_url: str
    pid: int
    key: str = KEY

    async def ask(
        self, question: Order, history: Sequence[str] = (), system: str = SYSTEM
    ) -> Answer:
        """Ask, streamed; `history` has the texts of the earlier turns, alternating."""
        roles = ["user", "assistant"] * len(history)
        turns = zip(roles, history, strict=False)
        messages = [
            {"role": "system", "content": system},
            *({"role": role, "content": text} for role, text in turns),
            {"role": "user", "content": question.text()},
        ]
        return await self.post(messages)

    async def after_call(self, question: Order) -> Answer:
        """Ask, send the result of the call, and return the answer after it."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": question.text()}]
        function = {"name": TOOL.name, "description": TOOL.description}
        tools = [{"type": "function", "function": function}]
        first = await self.post(messages, tools=tools)
        call = {"id": first.call_id, "type": "function"}
        call |= {"function": {"name": TOOL.name, "arguments": "{}"}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": first.call_id, "content": "result"},
        ]
        return await self.post(messages, tools=tools)

    async def post(self, messages: list[dict[str, Any]], **fields: Any) -> Answer:
        """Send these messages, and read the streamed answer."""
        body = json.dumps(
            {"model": "sonnet", "stream": True, "messages": messages, **fields}
        )
        answer = Answer(time.monotonic())
        async with asyncio.timeout(ANSWER_SECONDS):
            async for data in self._post("/chat/completions", body.encode()):
                answer.arrivals.append((time.monotonic(), data))
        return answer

    async def _post(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        # Not a client library: it would add its own time to every delta.
        url = urlsplit(self.base_url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        headers = {
            **self.headers,
            "Host": url.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = [f"POST {url.path}{path} HTTP/1.1", *map(": ".join, headers.items())]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        try:
            status = await reader.readline()
            if b" 200 " not in status:
                raise RuntimeError(status + await reader.read())
            while data := await reader.read(READ_BYTES):
                yield data
        finally:
            writer.close()

    async def make_session(self) -> str:
        """The id of a new session."""
        client = AsyncHTTPClient()
        url = f"{self.base_url}/sessions"
        made = await client.fetch(url, method="POST", body="{}", headers=self.headers)
        return str(json.loads(made.body)["id"])

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers with the key."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def cli_processes(self) -> list[psutil.Process]:
        """The CLI processes below the server."""
        found = []
        for process in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "stream-json" in words and "guarded" not in words:
                    found.append(process)
        return found

    @property
    def memory_mib(self) -> float:
        """The proportional set size of the server and all its processes."""
        processes = [psutil.Process(self.pid), *self.cli_processes]
        return sum(p.memory_full_info().pss for p in processes) / 2**20


@contextlib.contextmanager
def running_model() -> Iterator[str]:
    """Run the model of the benchmarks in a separate process; yields its address."""
    words = [sys.executable, "-m", "benchmarks.model"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextlib.contextmanager
def running_ours(model_url: str, *options: str) -> Iterator[Server]:
    """This gateway, as an extension of a Jupyter server with its default settings."""
    # Tests hide a library, so that servers start faster. Users have it.
    whole = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with (
        tempfile.TemporaryDirectory() as directory,
        running_gateway(Path(directory), model_url, *options, env=whole) as gateway,
    ):
        yield Server(gateway.base_url, gateway.process.pid)


@contextlib.contextmanager
def running_peer(model_url: str, python: Path) -> Iterator[Server]:
    """`claude-code-openai` from its own virtual environment, default settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **os.environ,
            **demo_environment(model_url, directory),
            **command.NO_EXTRA_TRAFFIC,
            "CLAUDEGATE_PORT": str(port),
            "CLAUDEGATE_CLI_PATH": CLIManager().find_cli(),
            "CLAUDEGATE_LOG_LEVEL": "WARNING",
            "IS_SANDBOX": "1",  # or the CLI refuses the peer's permissions to root
        }
        # Do not resolve the link: it makes Python use the virtual environment.
        words = [str(python.absolute()), "-m", "claudegate", "serve"]
        with subprocess.Popen(
            words, env=environment, cwd=directory, stdout=subprocess.DEVNULL
        ) as process:
            try:
                server = Server(f"http://127.0.0.1:{port}/v1", process.pid)
                _wait_until_listening(port)
                yield server
            finally:
                process.terminate()


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
