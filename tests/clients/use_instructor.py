"""What instructor's users do, in the mode that is named."""

from __future__ import annotations

import json
import sys

import instructor
from forecast import Forecast, get_weather
from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str


client = instructor.from_openai(OpenAI(), mode=instructor.Mode(sys.argv[1]))


def ask(*messages, response_model=None, **options):
    return client.chat.completions.create(
        model="sonnet",
        messages=list(messages),
        response_model=response_model,
        **options,
    )


def user(text):
    return {"role": "user", "content": text}


said = ask(user("Greet me."))
stream = ask(user("Greet me."), stream=True)
pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
tools = [pydantic_function_tool(GetWeather, name="get_weather")]
called = ask(user("Weather?"), tools=tools).choices[0].message
results = [
    {
        "role": "tool",
        "tool_call_id": call.id,
        "content": get_weather(**json.loads(call.function.arguments)),
    }
    for call in called.tool_calls
]
asked = called.model_dump()
answer = ask(user("Weather?"), asked, *results, tools=tools)
structured = ask(user("Structured?"), response_model=Forecast)
print(
    json.dumps(
        {
            "chat": said.choices[0].message.content,
            "stream": [piece for piece in pieces if piece],
            "tools": answer.choices[0].message.content,
            "structured": structured.model_dump(),
        }
    )
)
