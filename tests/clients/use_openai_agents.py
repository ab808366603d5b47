"""What the users of OpenAI's agents do, over each of the three transports."""

from __future__ import annotations

import asyncio
import json
import sys

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    OpenAIResponsesWSModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from forecast import Forecast, get_weather
from openai import AsyncOpenAI

MODELS = {
    "chat": OpenAIChatCompletionsModel,
    "responses": OpenAIResponsesModel,
    "websocket": OpenAIResponsesWSModel,
}


async def use(transport: str) -> dict:
    set_tracing_disabled(True)
    model = MODELS[transport]("sonnet", AsyncOpenAI())
    settings = {"name": "weather", "instructions": "Be brief.", "model": model}
    plain = Agent(**settings)
    said = await Runner.run(plain, "Greet me.")
    streamed = Runner.run_streamed(plain, "Greet me.")
    pieces = [
        event.data.delta
        async for event in streamed.stream_events()
        if event.type == "raw_response_event"
        and event.data.type == "response.output_text.delta"
    ]
    with_tools = Agent(**settings, tools=[function_tool(get_weather)])
    answer = await Runner.run(with_tools, "Weather?")
    structured = Agent(**settings, output_type=Forecast)
    forecast = await Runner.run(structured, "Structured?")
    return {
        "chat": said.final_output,
        "stream": pieces,
        "tools": answer.final_output,
        "structured": forecast.final_output.model_dump(),
    }


print(json.dumps(asyncio.run(use(*sys.argv[1:]))))
