"""Bodies of requests: who may send them, and how much of them is kept."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import psutil
import pytest

from claude_nb_gateway.testing.server import STANDALONE, running_gateway

from .resources import CHAT, error_of, http

MIB = 2**20


@pytest.fixture(scope="module")
def bounded(tmp_path_factory, model_server):
    """A gateway alone that asks for a key, and keeps little."""
    with running_gateway(
        tmp_path_factory.mktemp("bounded"),
        model_server.url,
        "--require-auth",
        f"--Bodies.max_bytes={4 * MIB}",
        "--Bodies.timeout_seconds=20",
        command=STANDALONE,
    ) as gateway:
        yield gateway


@contextlib.contextmanager
def sending(gateway, size, key="", path=f"/v1/{CHAT}", head=""):
    """A request of `size` bytes, the last of which is not sent yet."""
    url = urlsplit(gateway.base_url)
    with socket.create_connection((url.hostname, url.port), 20) as connection:
        text = (
            f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {size}\r\n{head}\r\n"
        )
        connection.sendall(text.encode())
        connection.sendall(b" " * (size - 1))
        yield connection


def answer_of(connection):
    """Status, headers and body, which must be of OpenAI's shape."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, json.loads(body)["error"]


@pytest.mark.soak
def test_bodies_without_a_key_are_not_kept(bounded, model):
    server = psutil.Process(bounded.process.pid)
    with contextlib.ExitStack() as stack:
        before = server.memory_info().rss
        connections = [
            stack.enter_context(sending(bounded, 20 * MIB, key="wrong"))
            for _ in range(8)
        ]
        grown = server.memory_info().rss - before
        for connection in connections:
            connection.sendall(b" ")
            status, _, error = answer_of(connection)
            assert (status, error["code"]) == (401, "invalid_api_key")
    assert grown < 60 * MIB


def answered(client, status):
    """The answer to a large request, asked again until it has this status."""
    deadline = time.monotonic() + 10
    while True:
        response = client.post(CHAT, content=b" " * 3 * MIB)
        if response.status_code == status or time.monotonic() > deadline:
            return response


@pytest.mark.soak
def test_bodies_together_are_bounded(bounded, model):
    answers = {}
    deadline = time.monotonic() + 20
    # Which of the two comes too late is chance, and one may be over before the other.
    while 429 not in answers and time.monotonic() < deadline:
        with (
            sending(bounded, 3 * MIB, bounded.key) as one,
            sending(bounded, 3 * MIB, bounded.key) as other,
        ):
            for connection in (other, one):
                connection.sendall(b" ")
                status, head, error = answer_of(connection)
                answers[status] = (head, error["code"])
    head, code = answers[429]
    assert code == "server_busy"
    assert "Retry-After: " in head
    with http(bounded) as client:  # nothing counts any more
        assert error_of(answered(client, 400)) == (400, "invalid_json")


@pytest.mark.soak
def test_a_body_that_is_given_up_is_not_counted_any_more(bounded, model):
    for _ in range(3):
        with sending(bounded, 3 * MIB, bounded.key):
            pass
    with http(bounded) as client:
        assert error_of(answered(client, 400)) == (400, "invalid_json")


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(bounded, model):
    pieces = (b" " * MIB for _ in range(33))
    with http(bounded) as client:
        for content in (b" " * (32 * MIB + 1), pieces):
            response = client.post(CHAT, content=content)
            assert response.status_code in (413, 429)


def test_who_asks_before_sending_is_refused_before(bounded, model):
    with sending(bounded, 1, "wrong", head="Expect: 100-continue\r\n") as connection:
        assert answer_of(connection)[0] == 401


def test_what_is_not_ours_takes_no_large_bodies_alone(bounded, model):
    with sending(bounded, 2, path="/login") as connection:
        connection.sendall(b" ")
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
    server = psutil.Process(bounded.process.pid)
    before = server.memory_info().rss
    with (
        contextlib.suppress(ConnectionError),
        sending(bounded, 50 * MIB, path="/login"),
    ):
        assert server.memory_info().rss - before < 25 * MIB


@pytest.mark.parametrize(
    "options",
    [
        {"method": "GET", "url": "models/%9b"},  # which is refused before `prepare`
        {"method": "POST", "url": CHAT, "headers": {"Expect": "100-continue"}},
    ],
)
def test_who_is_answered_before_the_body_is_told_that_the_connection_ends(
    bounded, model, options
):
    with http(bounded, key="wrong") as client:
        response = client.request(**options)
        assert response.status_code in (400, 401)
        assert response.headers["Connection"] == "close"
        response = client.get("models")
        assert "Connection" not in response.headers
