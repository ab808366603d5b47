"""WebSockets whose clients do not read."""

from __future__ import annotations

import pytest

from claude_nb_gateway.testing.model import Reply
from claude_nb_gateway.testing.server import STANDALONE, running_gateway

from ..open_responses.conftest import connect  # noqa: F401 - a fixture

pytestmark = pytest.mark.soak


@pytest.fixture
def hasty(model, tmp_path):
    """A gateway that asks for signs of life often."""
    option = "--GatewayApp.websocket_ping_seconds=1"
    with running_gateway(tmp_path, model.url, option, command=STANDALONE) as gateway:
        yield gateway


def test_turn_of_a_client_that_does_not_read_is_stopped(connect, hasty, model):  # noqa: F811
    words = ["x" * 1000] * 40_000
    model.script(Reply(words, delay_seconds=0.0001))
    connection = connect(hasty)
    connection.send(input="hello")
    model.wait_for_request()
    assert model.requests[0].abandoned.wait(60)
