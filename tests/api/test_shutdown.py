"""What clients are told when the server ends, and when it is full."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import EXTENSION, STANDALONE, running_gateway

from ..conftest import client_of

CHAT = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}
REQUESTS = {
    "/chat/completions": CHAT,
    "/completions": {"model": "sonnet", "prompt": "hi"},
    "/responses": {"model": "sonnet", "input": "hi"},
    "/messages": {**CHAT, "max_tokens": 100},
}


def post(gateway, path, body, begun):
    """The status and the text of the answer; tells `begun` when words have come."""
    text = ""
    headers = {"Authorization": f"Bearer {gateway.key}"}
    with httpx2.Client(headers=headers, timeout=30) as client:
        url = gateway.base_url + path
        with client.stream("POST", url, json=body) as response:
            for piece in response.iter_text():
                if "cut" in piece:
                    begun.release()
                text += piece
            return response.status_code, text


def is_error(path, status, text):
    """Whether the answer says that it is none."""
    if status == 503:
        return "shutting down" in text
    events = [
        json.loads(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: {")
    ]
    if path == "/responses":
        return events[-1]["type"] == "response.failed"
    return "shutting down" in events[-1]["error"]["message"]


@pytest.mark.parametrize(
    ("number", "command", "streams"),
    [
        (signal.SIGTERM, STANDALONE, 4),
        pytest.param(signal.SIGTERM, EXTENSION, 12, marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, EXTENSION, 4, marks=pytest.mark.soak),
    ],
)
def test_answer_that_the_servers_end_cuts_is_an_error(
    tmp_path, model, number, command, streams
):
    model.responder = lambda request: Reply(["cut "], hang="after")
    options = ("--CLIManager.max_processes=20",)
    begun = threading.Semaphore(0)
    with (
        ThreadPoolExecutor(16) as pool,
        running_gateway(tmp_path, model.url, *options, command=command) as gateway,
    ):
        streamed = [
            (path, pool.submit(post, gateway, path, {**body, "stream": True}, begun))
            for path, body in [*REQUESTS.items()] * (streams // 4)
        ]
        whole = [
            (path, pool.submit(post, gateway, path, body, begun))
            for path, body in REQUESTS.items()
        ]
        for _ in streamed:
            assert begun.acquire(timeout=30)
        model.wait_for_request(streams + 4)
        since = time.monotonic()
        gateway.process.send_signal(number)
        answers = [(path, *answer.result(15)) for path, answer in streamed + whole]
        assert gateway.process.wait(10) == 0
        assert time.monotonic() - since < 10
    assert [answer[1] for answer in answers] == [200] * streams + [503] * 4
    assert [answer for answer in answers if not is_error(*answer)] == []
    assert "Traceback" not in "".join(gateway.log)


@pytest.mark.soak
def test_stream_that_finds_no_process_is_429(tmp_path, model):
    model.script(Reply(["a"], hang="after"))
    options = (
        "--CLIManager.max_processes=1",
        "--CLIManager.queue_timeout_seconds=1",
        "--GatewayApp.keepalive_seconds=0.2",
    )
    with (
        running_gateway(tmp_path, model.url, *options) as gateway,
        client_of(gateway) as client,
    ):
        first = client.chat.completions.create(**CHAT, stream=True)
        next(first)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**CHAT, stream=True)
        first.close()
