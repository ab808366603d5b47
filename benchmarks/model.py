"""The model of the benchmarks: it answers at once, as the question orders.

As a program it prints its address, and serves until it is stopped. The last user turn
is an `Order` as JSON. Each delta of the answer is the time at which it was sent, in
nanoseconds of the monotonic clock, which all processes of a machine share. Before the
first delta is the number of turns that the model got.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import msgspec
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from claude_nb_gateway.demo.model import RecordedRequest


class Order(msgspec.Struct):
    """An order for an answer: `deltas` pieces of text, every `delay_seconds`.

    `name` makes the order unique. With `call` the model first calls the first tool,
    and then answers its result.
    """

    name: str
    deltas: int = 3
    delay_seconds: float = 0.0
    call: bool = False

    def text(self) -> str:
        """The question with this order."""
        return msgspec.json.encode(self).decode()


def _event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _delta(prefix: str = "") -> bytes:
    delta = {"type": "text_delta", "text": f"{prefix}{time.monotonic_ns()} "}
    return _event("content_block_delta", index=0, delta=delta)


class Messages(web.RequestHandler):
    """`POST /v1/messages`, streamed."""

    async def post(self) -> None:
        """Answer as the order says."""
        body = json.loads(self.request.body)
        request = RecordedRequest("", {}, body)
        # The other gateway adds its own words to the question.
        texts = "".join(text for _, text in request.turns)
        (ordered,) = re.findall(r'\{"name".*?\}', texts)[-1:]
        order = msgspec.json.decode(ordered, type=Order)
        usage = {"input_tokens": 10, "output_tokens": order.deltas}
        message = {
            "id": f"msg_{time.monotonic_ns():x}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        self.set_header("Content-Type", "text/event-stream")
        if order.call and "tool_result" not in str(request.messages[-1]):
            self._call(message, body["tools"][0]["name"], usage)
            return
        block = {"type": "text", "text": ""}
        self.write(_event("message_start", message=message))
        self.write(_event("content_block_start", index=0, content_block=block))
        self.write(_delta(f"{len(request.turns)} "))
        for _ in range(order.deltas - 1):
            if order.delay_seconds:
                await self.flush()
                await asyncio.sleep(order.delay_seconds)
            self.write(_delta())
        self.write(_event("content_block_stop", index=0))
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        self.write(_event("message_delta", delta=stop, usage=usage))
        self.write(_event("message_stop"))

    def _call(self, message: dict[str, Any], tool: str, usage: dict[str, int]) -> None:
        block = {"type": "tool_use", "id": f"toolu_{message['id']}", "input": {}}
        block |= {"name": tool}
        delta = {"type": "input_json_delta", "partial_json": "{}"}
        stop = {"stop_reason": "tool_use", "stop_sequence": None}
        self.write(_event("message_start", message=message))
        self.write(_event("content_block_start", index=0, content_block=block))
        self.write(_event("content_block_delta", index=0, delta=delta))
        self.write(_event("content_block_stop", index=0))
        self.write(_event("message_delta", delta=stop, usage=usage))
        self.write(_event("message_stop"))


async def main() -> None:
    """Serve on a free port of the loopback address."""
    app = web.Application([("/v1/messages", Messages)], log_function=lambda _: None)
    server = HTTPServer(app)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
