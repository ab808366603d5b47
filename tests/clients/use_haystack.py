"""What Haystack's users do."""

from __future__ import annotations

import json
import os

from forecast import Forecast, get_weather
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function


def generator(**options) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(
        model="sonnet", api_base_url=os.environ["OPENAI_BASE_URL"], **options
    )


def ask(text: str, **options) -> str:
    messages = [ChatMessage.from_user(text)]
    return generator(**options).run(messages)["replies"][0].text


pieces = []
said = ask("Greet me.")
ask("Greet me.", streaming_callback=lambda chunk: pieces.append(chunk.content))
agent = Agent(
    chat_generator=generator(),
    tools=[create_tool_from_function(get_weather)],
    system_prompt="Be brief.",
)
answer = agent.run([ChatMessage.from_user("Weather?")])["last_message"]
structured = ask("Structured?", generation_kwargs={"response_format": Forecast})
print(
    json.dumps(
        {
            "chat": said,
            "stream": [piece for piece in pieces if piece],
            "tools": answer.text,
            "structured": Forecast.model_validate_json(structured).model_dump(),
        }
    )
)
