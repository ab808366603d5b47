"""What a real server tells its kernels of where it listens, and the way there."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import httpx2
import openai
import pytest
from jupyter_server.auth import IdentityProvider
from jupyter_server.serverapp import ServerApp

from claude_nb_gateway.app import GatewayApp
from claude_nb_gateway.connection import Connection, socket_url
from claude_nb_gateway.notebook.client import Client
from claude_nb_gateway.notebook.errors import GatewayUnreachable
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


@pytest.fixture
def socket_path():
    """A path short enough for a unix socket; not all its characters fit a URL."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory, "a b%#?.sock")


def test_kernels_reach_a_server_on_a_unix_socket(tmp_path, model, socket_path):
    options = (f"--ServerApp.sock={socket_path}", "--ServerApp.base_url=/user/me")
    with running_gateway(tmp_path, model.url, *options) as gateway:
        connection = told_to_kernels(gateway)
        assert connection.socket == str(socket_path)
        assert connection.http_url == "http://localhost/user/me/v1"
        assert answer_to(connection, "hello") == "hello"
        with (
            httpx2.Client(
                transport=httpx2.HTTPTransport(uds=connection.socket)
            ) as http,
            openai.OpenAI(
                base_url=connection.http_url,
                api_key=connection.api_key,
                http_client=http,
            ) as client,
        ):
            assert client.models.list().data


def test_socket_of_a_relative_path_is_told_by_its_absolute_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    app = GatewayApp()
    app.serverapp = ServerApp(sock="s.sock")
    app.serverapp.identity_provider = IdentityProvider(token="")
    assert app.connection.socket == str(tmp_path / "s.sock")


# httpcore leaves the socket open that did not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_socket_where_nobody_listens_is_named(socket_path):
    with pytest.raises(GatewayUnreachable, match=re.escape(str(socket_path))):
        answer_to(Connection(socket_url(str(socket_path)) + "/v1", "none"), "hello")
