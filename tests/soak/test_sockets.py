"""WebSockets whose clients do not read."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import STANDALONE, running_gateway

from ..open_responses.conftest import connect  # noqa: F401 - a fixture

pytestmark = pytest.mark.soak


@pytest.fixture
def start(model, tmp_path):
    """Start a gateway with options of its own."""
    with ExitStack() as stack:

        def start(*options):
            gateway = running_gateway(tmp_path, model.url, *options, command=STANDALONE)
            return stack.enter_context(gateway)

        yield start


def test_turn_of_a_client_that_does_not_read_is_stopped(connect, start, model):  # noqa: F811
    hasty = start("--GatewayApp.websocket_ping_seconds=1")
    words = ["x" * 1000] * 40_000
    model.script(Reply(words, delay_seconds=0.0001))
    connection = connect(hasty)
    connection.send(input="hello")
    model.wait_for_request()
    assert model.requests[0].abandoned.wait(60)


def test_end_of_the_server_is_told_and_closes_connections(connect, start, model):  # noqa: F811
    gateway = start()
    model.script(Reply(["some"], hang="after"))
    busy, idle = connect(gateway), connect(gateway)
    busy.send(input="hello")
    model.wait_for_request()
    gateway.process.terminate()
    assert idle.closed() == 1001
    assert busy.events()[-1]["type"] in ("response.failed", "error")
    assert busy.closed() == 1001
