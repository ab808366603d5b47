"""What LangChain's users do, over chat completions and over responses."""

from __future__ import annotations

import json
import sys

import forecast
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

get_weather = tool(forecast.get_weather)


def use(model: ChatOpenAI) -> dict:
    said = model.invoke("Greet me.")
    pieces = [piece.text for piece in model.stream("Greet me.")]
    with_tools = model.bind_tools([get_weather])
    messages = [HumanMessage("Weather?")]
    called = with_tools.invoke(messages)
    messages.append(called)
    for call in called.tool_calls:
        result = get_weather.invoke(call["args"])
        messages.append(ToolMessage(result, tool_call_id=call["id"]))
    answer = with_tools.invoke(messages)
    structured = model.with_structured_output(forecast.Forecast).invoke("Structured?")
    return {
        "chat": said.text,
        "stream": [piece for piece in pieces if piece],
        "tools": answer.text,
        "structured": structured.model_dump(),
    }


responses = sys.argv[1:] == ["responses"]
print(json.dumps(use(ChatOpenAI(model="sonnet", use_responses_api=responses))))
