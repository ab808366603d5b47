"""What is nested hundreds deep is the client's mistake, wherever it stands."""

from __future__ import annotations

import json

import httpx2
import pytest

DEEP = '{"a":' * 900 + "1" + "}" * 900
DEEPER = '{"a":' * 100_000 + "1" + "}" * 100_000


def body(**fields):
    return json.dumps({"model": "sonnet", **fields})


def with_deep(text, deep=DEEP):
    """`text` with nested JSON in the place of its one mark."""
    return text.replace('"DEEP"', deep)


def function(schema):
    return {"type": "function", "function": {"name": "f", "parameters": schema}}


def called(arguments):
    call = {"name": "f", "arguments": arguments}
    made = {"id": "c", "type": "function", "function": call}
    return [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]


def used(value):
    use = {"type": "tool_use", "id": "c", "name": "f", "input": value}
    return [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [use]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}],
        },
    ]


QUESTION = [{"role": "user", "content": "q"}]
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": DEEPER}


@pytest.mark.parametrize(
    ("path", "sent", "param"),
    [
        (
            "chat/completions",
            with_deep(body(messages=QUESTION, tools=[function("DEEP")])),
            "tools[0].function.parameters",
        ),
        (
            "chat/completions",
            body(messages=called(DEEPER)),
            "messages[1].tool_calls[0].function.arguments",
        ),
        ("chat/completions", with_deep(body(messages=QUESTION, metadata="DEEP")), None),
        (
            "chat/completions",
            with_deep(body(messages=QUESTION, metadata="DEEP"), DEEPER),
            None,
        ),
        (
            "messages",
            with_deep(body(max_tokens=9, messages=used("DEEP"))),
            "messages[1].content[0].input",
        ),
        ("responses", body(input=[*QUESTION, CALL]), "input[1].arguments"),
        ("responses", with_deep(body(input="q", metadata="DEEP")), None),
        ("responses", with_deep(body(input=[*QUESTION, "DEEP"])), None),
    ],
)
def test_it_is_refused(gateway, path, sent, param):
    headers = {
        "Authorization": f"Bearer {gateway.key}",
        "Content-Type": "application/json",
    }
    url = f"{gateway.base_url}/{path}"
    response = httpx2.post(url, content=sent, headers=headers, timeout=30)
    assert response.status_code in (200, 400), response.text[:500]
    if param is not None:
        error = response.json()["error"]
        assert response.status_code == 400
        assert error.get("param", param) == param
        assert param in error["message"]
