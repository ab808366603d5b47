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

from .replies import FORECAST, reply, reply_to_dspy, reply_to_smolagents

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
NODE = HERE / "node"
TSX = NODE / "node_modules/.bin/tsx"

CLIENTS = [
    ("mcp1", "use_autogen.py", "iterate"),
    ("mcp1", "use_autogen.py", "reflect"),
    ("mcp1", "use_semantic_kernel.py"),
    ("openai2", "use_dspy.py", "chat"),
    ("openai2", "use_dspy.py", "json"),
    ("openai2", "use_haystack.py"),
    ("openai2", "use_instructor.py", "tool_call"),
    ("openai2", "use_instructor.py", "json_schema_mode"),
    ("openai2", "use_instructor.py", "json_mode"),
    ("openai2", "use_langchain.py"),
    ("openai2", "use_langchain.py", "responses"),
    ("openai2", "use_litellm.py"),
    ("openai2", "use_llama_index.py"),
    ("openai2", "use_llm.py"),
    ("openai2", "use_smolagents.py", "calls"),
    ("openai2", "use_smolagents.py", "code"),
    ("openai3", "use_openai_agents.py", "chat"),
    ("openai3", "use_openai_agents.py", "responses"),
    ("openai3", "use_openai_agents.py", "websocket"),
    ("openai3", "use_pydantic_ai.py", "chat", "tool"),
    ("openai3", "use_pydantic_ai.py", "chat", "native"),
    ("openai3", "use_pydantic_ai.py", "chat", "prompted"),
    ("openai3", "use_pydantic_ai.py", "responses", "tool"),
    ("openai3", "use_pydantic_ai.py", "responses", "native"),
    ("node", "use_ai_sdk.ts", "anthropic"),
    ("node", "use_ai_sdk.ts", "anthropic", "claude-sonnet-4-5"),
    ("node", "use_ai_sdk.ts", "compatible"),
    ("node", "use_ai_sdk.ts", "openai"),
    ("node", "use_langchain.ts"),
    ("node", "use_langchain.ts", "responses"),
    ("node", "use_openai.ts"),
    ("node", "use_openai_responses.ts"),
]

# Those that have the model answer in a form of their own.
REPLIES = {"use_dspy.py": reply_to_dspy, "use_smolagents.py": reply_to_smolagents}

# How many requests, and processes, it takes to call and be answered: the result goes to
# the process that made the call, unless the client changes the history or the tools.
LEGS = {"use_dspy.py": (3, 3), "use_smolagents.py": (2, 2), "reflect": (2, 2)}


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
    model.responder = REPLIES.get(script, reply)
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
    requests, processes = next(
        (LEGS[word] for word in (script, *arguments) if word in LEGS), (2, 1)
    )
    others = len(answers) - 1
    sessions = [request.session for request in model.requests]
    assert len(sessions) == others + requests
    assert len(set(sessions)) == others + processes
