"""Values that a field cannot have are the client's mistake, also without effect."""

from __future__ import annotations

import json

import pytest

from .apis import APIS, body_for, error_of, post, send

OUT_OF_RANGE = {
    "temperature": [9, -1, "hot", [], True],
    "top_p": [1.1, "x"],
    "presence_penalty": [-3],
    "frequency_penalty": [3],
    "seed": ["x", 1.5],
    "logit_bias": [{"1": 101}, [1]],
    "metadata": [7],
    "user": [7],
    "store": ["yes"],
    "service_tier": [1],
    "n": [0, "two"],
    "top_k": [-1],
    "stop": [7],
    "max_tokens": ["many"],
    "context_management": [7],
}
ALL = {
    "chat/completions": OUT_OF_RANGE.keys() - {"top_k", "context_management"},
    "completions": {"temperature", "top_p", "presence_penalty", "frequency_penalty"}
    | {"seed", "logit_bias", "user", "n", "stop", "max_tokens"},
    "responses": {"temperature", "top_p", "presence_penalty", "frequency_penalty"}
    | {"metadata", "user", "store", "service_tier"},
    "messages": {"temperature", "top_p", "top_k", "metadata", "context_management"}
    | {"max_tokens"},
}


@pytest.mark.parametrize(
    ("api", "field", "value"),
    [
        (api, field, value)
        for api in APIS
        for field in sorted(ALL[api])
        for value in OUT_OF_RANGE[field]
    ],
)
def test_value_that_a_field_cannot_have_is_refused(gateway, api, field, value):
    answer = post(gateway, api, **{"model": "sonnet", field: value})
    assert answer.status_code == 400, answer.text
    assert f"`{field}" in error_of(answer)[0]


def test_anthropics_temperature_ends_at_one(gateway):
    assert post(gateway, "messages", temperature=1.5).status_code == 400


@pytest.mark.parametrize("api", ["chat/completions", "responses", "messages"])
def test_history_that_ends_with_the_assistant_is_gone_on_with(gateway, model, api):
    said = [
        {"role": "user", "content": "Name a poem."},
        {"role": "assistant", "content": "The"},
    ]
    field = "input" if api == "responses" else "messages"
    answer = post(gateway, api, **{"model": "sonnet", field: said})
    assert answer.status_code == 200, answer.text
    *before, (role, asked) = model.requests[0].turns
    assert before == [("user", "Name a poem."), ("assistant", "The")]
    assert role == "user"
    assert asked.startswith("Go on from exactly where")


def test_requests_of_claude_code_are_answered(gateway, model):
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}]
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    read = {"name": "Read", "input_schema": {"type": "object"}}
    body = body_for(
        "messages",
        model="claude-sonnet-5-5",
        max_tokens=32_000,
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [search, found, {"type": "text", "text": "a"}],
            },
            {"role": "user", "content": [{"type": "text", "text": "and?"}]},
        ],
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        tools=[
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
            read | {"eager_input_streaming": True},
        ],
        thinking={"type": "enabled", "budget_tokens": 31_999},
        metadata={"user_id": "u"},
        context_management={"edits": edits},
        output_config={"effort": "high"},
        betas=["x"],
    )
    answer = send(gateway, "/messages?beta=true", json.dumps(body).encode())
    assert answer.status_code == 200, answer.text
    ignored = answer.headers["x-ignored-parameters"].split(", ")
    assert ignored == ["context_management", "metadata", "tools[0]"]
    (tool,) = model.requests[0].body["tools"]
    assert tool["name"] == "mcp__client__Read"


def test_a_tool_behind_one_that_is_left_out_is_named_as_it_was_sent(gateway):
    tools = [
        {"type": "web_search_20250305", "name": "web_search"},
        {"name": "", "input_schema": {"type": "object"}},
    ]
    answer = post(gateway, "messages", model="sonnet", tools=tools)
    assert "`tools[1].name`" in error_of(answer)[0]
