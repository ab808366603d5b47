r"""Lone surrogates, as JavaScript writes them: ``\ud83d`` and no other half."""

from __future__ import annotations

import json

import pytest

from claude_nb_gateway.demo.model import Reply

from .apis import APIS, body_for, send
from .resources import http
from .test_tools import call

HALF = "\ud83d"
WHOLE = "\U0001f600"


def post(gateway, api, body):
    # `json.dumps` writes halves as the escapes that JavaScript writes.
    return send(gateway, f"/{api}", json.dumps(body).encode())


def asked(model):
    return json.dumps(model.requests[-1].messages, ensure_ascii=False)


@pytest.mark.soak
@pytest.mark.parametrize("api", APIS)
def test_half_a_character_in_a_text_is_replaced(gateway, model, api):
    answer = post(gateway, api, body_for(api, f"cut {HALF} {WHOLE}", model="sonnet"))
    assert answer.status_code == 200, answer.text
    assert f"cut � {WHOLE}" in asked(model)


ARGUMENTS = json.dumps({"city": HALF})
TOOL = {"name": "f", "parameters": {"type": "object", HALF: HALF}}
HISTORIES = {
    "chat/completions": {
        "messages": [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": HALF,
                "tool_calls": [
                    {
                        "id": HALF,
                        "type": "function",
                        "function": {"name": "f", "arguments": ARGUMENTS},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": HALF, "content": HALF},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    },
    "responses": {
        "input": [
            {"role": "user", "content": "q"},
            {
                "type": "function_call",
                "call_id": HALF,
                "name": "f",
                "arguments": ARGUMENTS,
            },
            {"type": "function_call_output", "call_id": HALF, "output": HALF},
        ],
        "tools": [{"type": "function", **TOOL}],
        "metadata": {HALF: HALF},
    },
    "messages": {
        "messages": [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": HALF}}
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": HALF}
                ],
            },
        ],
        "max_tokens": 100,
    },
}


@pytest.mark.soak
@pytest.mark.parametrize("api", HISTORIES)
def test_half_a_character_in_a_history_is_replaced(gateway, model, api):
    answer = post(gateway, api, {"model": "sonnet", **HISTORIES[api]})
    assert answer.status_code == 200, answer.text
    assert "�" in asked(model)


@pytest.mark.soak
@pytest.mark.parametrize("api", ["chat/completions", "responses", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_half_a_character_of_the_models_is_replaced(gateway, model, api, stream):
    model.script(
        Reply([HALF], tool_uses=[call(name="mcp__client__f", fragments=(ARGUMENTS,))])
    )
    tool = {
        "chat/completions": {"type": "function", "function": {"name": "f"}},
        "responses": {"type": "function", "name": "f"},
        "messages": {"name": "f", "input_schema": {"type": "object"}},
    }[api]
    body = body_for(api, f"{api} {stream}", model="sonnet", tools=[tool], stream=stream)
    answer = post(gateway, api, body)
    assert answer.status_code == 200, answer.text
    assert "error" not in answer.text.replace('"error":null', "")
    assert "call" in answer.text or "tool_use" in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "models/%ED%A0%BD"),
        ("GET", "sessions?after=%ED%A0%BD"),
        ("GET", "responses/%ED%A0%BD"),
        ("POST", "projects/%ED%A0%BD/chat/completions"),
        ("DELETE", "projects/%ED%A0%BD"),
    ],
)
def test_half_a_character_in_a_url_is_the_clients_mistake(gateway, method, path):
    answer = send(gateway, f"/{path}", b"{}", method)
    assert answer.status_code in (400, 404), answer.text


def test_half_a_character_in_a_resource_is_replaced(gateway, model):
    with http(gateway) as client:
        body = json.dumps({"title": HALF, "system": HALF})
        made = client.post("sessions", content=body)
        assert made.json()["title"] == "�"
        messages = [{"role": "user", "content": HALF}]
        model.script(Reply([HALF]))
        session = made.json()["id"]
        asked = json.dumps({"messages": messages, "session_id": session})
        assert client.post("chat/completions", content=asked).status_code == 200
        assert client.get(f"sessions/{session}").status_code == 200
