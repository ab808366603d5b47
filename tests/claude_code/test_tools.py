from __future__ import annotations

import json

import pytest

from claude_nb_gateway.claude_code.protocol import ControlRequest, encode
from claude_nb_gateway.claude_code.tools import (
    call_in,
    handshake_response,
    initialize_fields,
    name_for_cli,
    response_to,
)
from claude_nb_gateway.claude_code.turns import Tool

WEATHER = Tool("get_weather", "The weather.", '{"type": "object"}')


def rpc(method, **params):
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return ControlRequest("r1", {"subtype": "mcp_message", "message": message})


def test_legal_names_are_kept():
    assert name_for_cli("get_weather") == "mcp__client__get_weather"


@pytest.mark.parametrize("name", ["a.b", "ä", "x" * 60, "a b", "a/b", ""])
def test_other_names_become_legal_and_stay_apart(name):
    legal = name_for_cli(name)
    assert len(legal) <= 64
    assert legal.isascii()
    assert legal.replace("_", "").isalnum()
    assert legal != name_for_cli(name + "!")


def test_without_tools_no_server_is_named():
    assert initialize_fields(()) == {}


def test_manifest_and_handshake_say_the_same():
    fields = initialize_fields([WEATHER])
    manifest = json.loads(encode(fields))["sdkMcpServerManifests"]["client"]
    listed = json.loads(encode(handshake_response(rpc("tools/list"), [WEATHER])))
    answer = listed["response"]["response"]["mcp_response"]
    assert answer["result"] == manifest["toolsListResult"]
    assert answer["id"] == 7
    (tool,) = answer["result"]["tools"]
    assert tool["name"] == "get_weather"
    assert tool["inputSchema"] == {"type": "object"}


def test_handshake_takes_the_clients_version():
    answer = handshake_response(rpc("initialize", protocolVersion="2031-01-01"), [])
    result = answer["response"]["response"]["mcp_response"]["result"]
    assert result["protocolVersion"] == "2031-01-01"


def test_notifications_are_acknowledged():
    answer = handshake_response(rpc("notifications/cancelled"), [])
    assert answer["response"]["subtype"] == "success"


@pytest.mark.parametrize(
    "request_",
    [rpc("resources/list"), ControlRequest("r1", {"subtype": "can_use_tool"})],
)
def test_other_requests_are_not_ours(request_):
    assert handshake_response(request_, []) is None
    assert call_in(request_) is None


def test_call_is_answered_with_its_result():
    meta = {"claudecode/toolUseId": "toolu_1"}
    call = call_in(rpc("tools/call", name="get_weather", _meta=meta))
    assert call.tool_use_id == "toolu_1"
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    content = [{"type": "text", "text": "rain"}, {"type": "image", "source": source}]
    answer = response_to(call, {"content": content})["response"]
    assert answer["request_id"] == "r1"
    assert answer["response"]["mcp_response"]["result"]["content"] == [
        {"type": "text", "text": "rain"},
        {"type": "image", "data": "QUJD", "mimeType": "image/png"},
    ]
