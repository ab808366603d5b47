"""What bounds a WebSocket: how long it may be silent, and how old it may become."""

from __future__ import annotations

import pytest

from claude_nb_gateway.testing.server import STANDALONE, running_gateway

LIMITS = (
    "--GatewayApp.websocket_ping_seconds=0.5",
    "--GatewayApp.websocket_idle_seconds=1",
    "--GatewayApp.websocket_connection_seconds=2",
)


@pytest.fixture(scope="module")
def hasty(model_server, tmp_path_factory):
    """A gateway with little patience."""
    directory = tmp_path_factory.mktemp("hasty")
    with running_gateway(
        directory, model_server.url, *LIMITS, command=STANDALONE
    ) as gateway:
        yield gateway


@pytest.mark.soak
def test_connection_on_which_nothing_is_asked_is_closed(connect, hasty):
    connection = connect(hasty)
    assert connection.closed() == 1000


@pytest.mark.soak
def test_old_connection_takes_no_request(connect, hasty, model):
    connection = connect(hasty)
    event = connection.ask("hello")
    while event["type"] == "response.completed":
        event = connection.ask("hello")
    assert event["error"]["code"] == "websocket_connection_limit_reached"
    assert connection.closed() == 1000
