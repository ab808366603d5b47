"""What pydantic-ai's users do, over chat completions and over responses."""

from __future__ import annotations

import asyncio
import json
import sys

from forecast import Forecast, get_weather
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

MODELS = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}
OUTPUTS = {"tool": ToolOutput, "native": NativeOutput, "prompted": PromptedOutput}


async def use(api: str, output: str) -> dict:
    model = MODELS[api]("sonnet")
    plain = Agent(model, instructions="Be brief.")
    said = await plain.run("Greet me.")
    async with plain.run_stream("Greet me.") as result:
        pieces = [
            piece async for piece in result.stream_text(delta=True, debounce_by=None)
        ]
    with_tools = Agent(model, instructions="Be brief.", tools=[get_weather])
    answer = await with_tools.run("Weather?")
    structured = Agent(model, output_type=OUTPUTS[output](Forecast))
    forecast = await structured.run("Structured?")
    async with structured.run_stream("Structured?") as result:
        streamed = [part async for part in result.stream_output(debounce_by=None)]
    return {
        "chat": said.output,
        "stream": pieces,
        "tools": answer.output,
        "structured": forecast.output.model_dump(),
        "structured_stream": streamed[-1].model_dump(),
    }


print(json.dumps(asyncio.run(use(*sys.argv[1:]))))
