"""Programs written for OpenAI's API, by their own libraries, against the real CLI.

The libraries are installed by `make test-clients`, apart from the gateway.
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

WEATHER = ToolUse("mcp__client__get_weather", ('{"city": ', '"Oslo"}'))
STRUCTURED = ToolUse("StructuredOutput", ('{"city": "Oslo", ', '"sky": "rain"}'))

CLIENTS = [
    ("python", "use_langchain.py"),
    ("python", "use_langchain.py", "responses"),
    ("python", "use_litellm.py"),
    ("python", "use_llama_index.py"),
    ("python", "use_llm.py"),
    ("node", "use_openai.ts"),
    ("node", "use_openai_responses.ts"),
    ("node", "use_ai_sdk.ts", "compatible"),
    ("node", "use_ai_sdk.ts", "openai"),
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
        return Reply(tool_uses=[WEATHER])
    if "Structured?" in said:
        return Reply(tool_uses=[STRUCTURED])
    return Reply(["Good ", "day"], delay_seconds=0.05)


@pytest.fixture
def environment(gateway, tmp_path):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LLM_USER_PATH": str(tmp_path / "llm"),
        "OPENAI_BASE_URL": gateway.base_url,
        "OPENAI_API_KEY": gateway.key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
    }


@pytest.mark.parametrize("client", CLIENTS, ids=" ".join)
def test_client_gets_what_it_asks_for(client, environment, model):
    kind, script, *arguments = client
    model.responder = reply
    if kind == "python":
        command = [os.environ["CLIENTS_PYTHON"], HERE / script]
    else:
        command = [TSX, NODE / script]
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
    assert answers["structured"] == {"city": "Oslo", "sky": "rain"}
    assert_one_request_a_call(model)


def assert_one_request_a_call(model):
    sessions = [request.session for request in model.requests]
    # Two of the five are the legs of one turn, on one process.
    assert len(sessions) == 5
    assert len(set(sessions)) == 4
