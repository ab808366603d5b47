"""What the AI extensions of JupyterLab send, in the shapes they send it."""

from __future__ import annotations

import json

import httpx2
import pytest
from openai.types.chat import ChatCompletionChunk

from claude_nb_gateway.demo.model import Reply

from .test_tools import call

FUNCTION = {
    "name": "get_weather",
    "description": "The weather.",
    "parameters": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
TOOLS = [{"type": "function", "function": FUNCTION}]


@pytest.fixture
def post(gateway):
    def post(body):
        url = f"{gateway.base_url}/chat/completions"
        headers = {"Authorization": f"Bearer {gateway.key}"}
        answer = httpx2.post(url, json=body, headers=headers, timeout=30)
        return answer.raise_for_status()

    return post


def events(answer):
    lines = [line for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    found = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    for event in found:
        ChatCompletionChunk.model_validate(event, strict=True)
    return found


def test_jupyternaut(post, model):
    """jupyter-ai 3 through LiteLLM: prompt caching marks on the system message."""
    model.script(Reply(["Well."], tool_uses=[call()]))
    marked = {"type": "text", "text": "Help.", "cache_control": {"type": "ephemeral"}}
    chunks = events(
        post(
            {
                "model": "sonnet",
                "messages": [
                    {"role": "system", "content": [marked]},
                    {"role": "user", "content": "weather?"},
                ],
                "tools": TOOLS,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )
    )
    calls = [
        c for c in chunks if c["choices"] and "tool_calls" in c["choices"][0]["delta"]
    ]
    assert calls[0]["choices"][0]["delta"]["tool_calls"][0]["id"] == "toolu_1"
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert "Help." in model.requests[0].system


def test_notebook_intelligence(post, model):
    """Its agent asks whole answers with functions and a choice, then plain ones."""
    model.script(Reply(tool_uses=[call()]))
    messages = [
        {"role": "system", "content": "Help."},
        {"role": "user", "content": "weather?"},
    ]
    body = {"model": "sonnet", "messages": messages, "stream": False}
    answer = post({**body, "tools": TOOLS, "tool_choice": "auto"}).json()
    assert answer["choices"][0]["message"]["tool_calls"][0]["type"] == "function"
    plain = post({**body, "max_tokens": 1000}).json()
    assert plain["choices"][0]["message"]["content"] == "weather?"
    assert model.requests[-1].body["max_tokens"] == 1000


def test_jupyterlite_ai(post, model):
    """The Vercel AI SDK in the browser: `$schema` within the functions' schemas."""
    model.script(Reply(tool_uses=[call()]))
    chunks = events(
        post(
            {
                "model": "sonnet",
                "messages": [
                    {"role": "system", "content": "Help."},
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "weather?"}],
                    },
                ],
                "tools": TOOLS,
                "tool_choice": "auto",
                "stream": True,
            }
        )
    )
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    (tool,) = model.requests[0].body["tools"]
    assert tool["input_schema"]["properties"] == {"city": {"type": "string"}}
