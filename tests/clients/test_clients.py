"""Programs written for OpenAI's and Anthropic's APIs, by their own libraries.

The gateway and the CLI are real. The libraries are installed by `make test-clients`,
apart from the gateway.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from claude_nb_gateway.testing.model import Reply, ToolUse

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
NODE = HERE / "node"
TSX = NODE / "node_modules/.bin/tsx"

FORECAST = {"city": "Oslo", "sky": {"kind": "snow", "depth": {"centimetres": 4.5}}}

CLIENTS = [
    ("mcp1", "use_autogen.py", "iterate"),
    ("mcp1", "use_autogen.py", "reflect"),
    ("mcp1", "use_semantic_kernel.py"),
    ("openai2", "use_haystack.py"),
    ("openai2", "use_instructor.py", "tool_call"),
    ("openai2", "use_instructor.py", "json_schema_mode"),
    ("openai2", "use_instructor.py", "json_mode"),
    ("openai2", "use_langchain.py"),
    ("openai2", "use_langchain.py", "responses"),
    ("openai2", "use_litellm.py"),
    ("openai2", "use_llama_index.py"),
    ("openai2", "use_llm.py"),
    ("openai3", "use_openai_agents.py", "chat"),
    ("openai3", "use_openai_agents.py", "responses"),
    ("openai3", "use_openai_agents.py", "websocket"),
    ("openai3", "use_pydantic_ai.py", "chat", "tool"),
    ("openai3", "use_pydantic_ai.py", "chat", "native"),
    ("openai3", "use_pydantic_ai.py", "chat", "prompted"),
    ("openai3", "use_pydantic_ai.py", "responses", "tool"),
    ("openai3", "use_pydantic_ai.py", "responses", "native"),
    ("node", "use_ai_sdk.ts", "anthropic"),
    ("node", "use_ai_sdk.ts", "compatible"),
    ("node", "use_ai_sdk.ts", "openai"),
    ("node", "use_langchain.ts"),
    ("node", "use_langchain.ts", "responses"),
    ("node", "use_openai.ts"),
    ("node", "use_openai_responses.ts"),
]


def reply(request):
    """As a model would: the weather needs a call, and what it gives is told."""
    said = request.turns[-1][1]
    results = [
        block["content"]
        for block in request.messages[-1]["content"]
        if block["type"] == "tool_result"
    ]
    if results:
        assert "-3 C in Oslo" in json.dumps(results), results
        return Reply(["It is ", "cold."])
    if "Weather?" in said:
        tool = tool_with("city", request)
        return Reply(tool_uses=[ToolUse(tool["name"], ('{"city": ', '"Oslo"}'))])
    if "Structured?" in said:
        return forecast(request)
    return Reply(["Good ", "day"], delay_seconds=0.05)


def tool_with(property_name, request):
    tools = request.body.get("tools", [])
    return next(
        (tool for tool in tools if property_name in tool["input_schema"]["properties"]),
        None,
    )


def forecast(request):
    """The answer that a schema asks for: by a tool or, told of it in words, in text."""
    tool = tool_with("sky", request)
    if tool is None:
        return Reply(in_pieces(FORECAST))
    assert "centimetres" in json.dumps(tool["input_schema"])
    unit = {"unit": "C"} if "unit" in tool["input_schema"]["required"] else {}
    return Reply(tool_uses=[ToolUse(tool["name"], in_pieces(FORECAST | unit))])


def in_pieces(value):
    text = json.dumps(value)
    return text[:20], text[20:50], text[50:]


@pytest.fixture
def environment(gateway, tmp_path):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LLM_USER_PATH": str(tmp_path / "llm"),
        "OPENAI_BASE_URL": gateway.base_url,
        "OPENAI_API_KEY": gateway.key,
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
    }


@pytest.mark.parametrize("client", CLIENTS, ids=" ".join)
def test_client_gets_what_it_asks_for(client, environment, model):
    place, script, *arguments = client
    model.responder = reply
    if place == "node":
        command = [TSX, NODE / script]
    else:
        command = [os.environ[f"CLIENTS_{place.upper()}"], HERE / script]
    done = subprocess.run(
        [*command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers["chat"] == "Good day"
    assert "".join(answers["stream"]) == "Good day"
    assert len(answers["stream"]) > 1
    assert answers["tools"] == "It is cold."
    for structured in {"structured", "structured_stream"} & set(answers):
        assert answers[structured] == {**FORECAST, "unit": "C"}
    sessions = [request.session for request in model.requests]
    assert len(sessions) == len(answers) + 1
    # The result of the call goes to the process that made it, unless the client takes
    # the tools away.
    assert len(set(sessions)) == len(answers) + ("reflect" in arguments)
