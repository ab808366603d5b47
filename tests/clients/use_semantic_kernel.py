"""What Semantic Kernel's users do."""

from __future__ import annotations

import asyncio
import json

from forecast import Forecast, get_weather
from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import (
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
)
from semantic_kernel.functions import KernelArguments, kernel_function


class Weather:
    @kernel_function(description="The weather of a city.")
    def get_weather(self, city: str) -> str:
        return get_weather(city)


service = OpenAIChatCompletion(ai_model_id="sonnet", async_client=AsyncOpenAI())


def agent(**options) -> ChatCompletionAgent:
    return ChatCompletionAgent(
        kernel=Kernel(),
        service=service,
        name="forecaster",
        instructions="Be brief.",
        **options,
    )


async def use() -> dict:
    said = await agent().get_response("Greet me.")
    streamed = agent().invoke_stream("Greet me.")
    pieces = [str(piece.content) async for piece in streamed]
    with_tools = agent(plugins=[Weather()])
    answer = await with_tools.get_response("Weather?")
    settings = OpenAIChatPromptExecutionSettings(response_format=Forecast)
    structured = agent(arguments=KernelArguments(settings=settings))
    forecast = await structured.get_response("Structured?")
    return {
        "chat": str(said.content),
        "stream": [piece for piece in pieces if piece],
        "tools": str(answer.content),
        "structured": Forecast.model_validate_json(str(forecast.content)).model_dump(),
    }


print(json.dumps(asyncio.run(use())))
