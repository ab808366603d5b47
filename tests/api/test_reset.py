"""Clients whose connection ends just when they are written to."""

from __future__ import annotations

import json

import httpx2
import openai
import pytest
import websocket

from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of

# As if the loop had seen the connection's end in the same round, and not told of it.
CONFIG = """
from claude_nb_gateway.api import response_socket, sse

def put(self, data, put=sse.EventStream._put):
    if b"last" in data:
        self._handler.request.connection.stream.close()
    put(self, data)

def write(self, data, write=response_socket.ResponsesSocket.write_message):
    if b"last" in data:
        self.ws_connection.stream.close()
    return write(self, data)

sse.EventStream._put = put
response_socket.ResponsesSocket.write_message = write
"""
QUESTION = [{"role": "user", "content": "q"}]


@pytest.fixture
def gateway(tmp_path, model):
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(CONFIG)
    model.script(Reply(["first ", "last ", "words"], delay_seconds=0.05))
    with running_gateway(tmp_path, model.url) as gateway:
        yield gateway


def check_abandoned(gateway, endpoint):
    url = gateway.base_url.removesuffix("/v1") + "/metrics"
    headers = {"Authorization": f"Bearer {gateway.key}"}
    counted = httpx2.get(url, headers=headers).text
    gateway.stop()
    assert f'endpoint="{endpoint}",outcome="abandoned"' in counted
    log = "".join(gateway.log)
    assert "Traceback" not in log
    assert "mid-stream" not in log


@pytest.mark.soak
def test_client_that_goes_while_it_is_written_to_is_no_error(gateway):
    with client_of(gateway) as client:
        chunks = client.chat.completions.create(
            model="sonnet", messages=QUESTION, stream=True
        )
        with pytest.raises(openai.APIConnectionError):
            list(chunks)
        check_abandoned(gateway, "chat.completions")


@pytest.mark.soak
def test_socket_that_goes_while_it_is_written_to_is_no_error(gateway):
    socket = websocket.create_connection(
        gateway.base_url.replace("http", "ws") + "/responses",
        header=[f"Authorization: Bearer {gateway.key}"],
    )
    create = {"type": "response.create", "model": "sonnet", "input": QUESTION}
    socket.send(json.dumps(create))
    with pytest.raises((websocket.WebSocketException, ConnectionError)):
        while True:
            socket.recv()
    check_abandoned(gateway, "responses")
