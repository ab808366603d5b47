"""What a real server tells its kernels of where it listens, and the way there."""

from __future__ import annotations

import pytest
from jupyter_server.auth import IdentityProvider
from jupyter_server.serverapp import ServerApp

from claude_nb_gateway.app import GatewayApp
from claude_nb_gateway.connection import Connection
from claude_nb_gateway.magics.client import Client
from claude_nb_gateway.testing.server import running_gateway

from ..api.resources import runtime_file


def told_to_kernels(gateway):
    return Connection.from_json(runtime_file(gateway).read_text())


def answer_to(connection, question):
    client = Client(connection)
    messages = [{"role": "user", "content": question}]
    try:
        return [answer.text for answer in client.ask(messages, "sonnet")][-1]
    finally:
        client.close()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("192.0.2.2", "192.0.2.2"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("2001:db8::2", "[2001:db8::2]"),
    ],
)
def test_kernels_are_told_an_address_that_the_server_listens_on(address, told):
    app = GatewayApp()
    app.serverapp = ServerApp(ip=address, port=8888)
    app.serverapp.identity_provider = IdentityProvider(token="")
    assert app.connection.base_url == f"http://{told}:8888/v1"


def test_kernels_reach_a_server_on_another_loopback_address(
    tmp_path, model, monkeypatch
):
    with running_gateway(tmp_path, model.url, "--ServerApp.ip=127.0.0.2") as gateway:
        connection = told_to_kernels(gateway)
        assert connection.base_url == gateway.base_url
        assert "//127.0.0.2:" in connection.base_url
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        assert answer_to(connection, "hello") == "hello"
