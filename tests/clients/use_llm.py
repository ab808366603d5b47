"""What the users of `llm` do, who configure it by a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import llm

MODEL = """
- model_id: claude
  model_name: sonnet
  api_base: {OPENAI_BASE_URL}
  api_key_name: gateway
  supports_tools: true
  supports_schema: true
"""


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"-3 C in {city}"


Path(os.environ["LLM_USER_PATH"]).mkdir(parents=True, exist_ok=True)
(Path(os.environ["LLM_USER_PATH"]) / "extra-openai-models.yaml").write_text(
    MODEL.format(**os.environ)
)
key = os.environ["OPENAI_API_KEY"]
said = subprocess.run(
    [Path(sys.executable).with_name("llm"), "-m", "claude", "--key", key, "Greet me."],
    check=True,
    capture_output=True,
    text=True,
).stdout.strip()
model = llm.get_model("claude")
model.key = key
pieces = list(model.prompt("Greet me."))
answer = model.chain("Weather?", tools=[get_weather]).text()
schema = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "sky": {"type": "string"}},
}
structured = model.prompt("Structured?", schema=schema).text()
print(
    json.dumps(
        {
            "chat": said,
            "stream": [piece for piece in pieces if piece],
            "tools": answer,
            "structured": json.loads(structured),
        }
    )
)
