"""What AutoGen's users do: tools are tried again, or their results reflected on."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from forecast import Forecast, get_weather

client = OpenAIChatCompletionClient(
    model="sonnet",
    base_url=os.environ["OPENAI_BASE_URL"],
    model_info={
        "vision": True,
        "function_calling": True,
        "json_output": True,
        "structured_output": True,
        "family": "claude",
    },
)

TOOLS = {
    "iterate": {"max_tool_iterations": 3},
    "reflect": {"reflect_on_tool_use": True},
}


def agent(**options) -> AssistantAgent:
    return AssistantAgent("forecaster", client, system_message="Be brief.", **options)


async def use(with_results: str) -> dict:
    said = await agent().run(task="Greet me.")
    streamed = agent(model_client_stream=True).run_stream(task="Greet me.")
    pieces = [
        event.content
        async for event in streamed
        if isinstance(event, ModelClientStreamingChunkEvent)
    ]
    with_tools = agent(tools=[get_weather], **TOOLS[with_results])
    answer = await with_tools.run(task="Weather?")
    structured = agent(output_content_type=Forecast)
    forecast = await structured.run(task="Structured?")
    return {
        "chat": said.messages[-1].content,
        "stream": pieces,
        "tools": answer.messages[-1].content,
        "structured": forecast.messages[-1].content.model_dump(),
    }


print(json.dumps(asyncio.run(use(*sys.argv[1:]))))
