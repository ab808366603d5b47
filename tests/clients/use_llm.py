"""What the users of `llm` do, who configure it by a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import llm
from forecast import Forecast, get_weather

MODEL = """
- model_id: claude
  model_name: sonnet
  api_base: {OPENAI_BASE_URL}
  api_key_name: gateway
  supports_tools: true
  supports_schema: true
"""


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
structured = model.prompt("Structured?", schema=Forecast).text()
print(
    json.dumps(
        {
            "chat": said,
            "stream": [piece for piece in pieces if piece],
            "tools": answer,
            "structured": Forecast.model_validate_json(structured).model_dump(),
        }
    )
)
