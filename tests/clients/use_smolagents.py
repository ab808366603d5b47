"""What the users of smolagents do: a model alone, agents that call or write code."""

from __future__ import annotations

import json
import os
import sys

from forecast import Forecast, get_weather
from smolagents import ChatMessage, CodeAgent, OpenAIModel, ToolCallingAgent, tool

AGENTS = {"calls": ToolCallingAgent, "code": CodeAgent}

model = OpenAIModel(
    "sonnet",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
)


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=[{"type": "text", "text": text}])]


said = model.generate(user("Greet me."))
pieces = [delta.content for delta in model.generate_stream(user("Greet me."))]
agent = AGENTS[sys.argv[1]](tools=[tool(get_weather)], model=model, verbosity_level=0)
answer = agent.run("Weather?", max_steps=3)
schema = {"name": "forecast", "schema": Forecast.model_json_schema(), "strict": True}
structured = model.generate(
    user("Structured?"),
    response_format={"type": "json_schema", "json_schema": schema},
)
print(
    json.dumps(
        {
            "chat": said.content,
            "stream": [piece for piece in pieces if piece],
            "tools": answer,
            "structured": Forecast.model_validate_json(structured.content).model_dump(),
        }
    )
)
