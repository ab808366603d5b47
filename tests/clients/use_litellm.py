"""What LiteLLM's users do."""

from __future__ import annotations

import json

import litellm
from forecast import Forecast, get_weather

FUNCTION = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def complete(*messages, **options):
    return litellm.completion(model="openai/sonnet", messages=list(messages), **options)


def user(text):
    return {"role": "user", "content": text}


said = complete(user("Greet me."))
stream = complete(user("Greet me."), stream=True)
pieces = [chunk.choices[0].delta.content for chunk in stream]
tools = [{"type": "function", "function": FUNCTION}]
called = complete(user("Weather?"), tools=tools).choices[0].message
results = [
    {
        "role": "tool",
        "tool_call_id": call.id,
        "content": get_weather(**json.loads(call.function.arguments)),
    }
    for call in called.tool_calls
]
answer = complete(user("Weather?"), called, *results, tools=tools)
structured = complete(user("Structured?"), response_format=Forecast)
print(
    json.dumps(
        {
            "chat": said.choices[0].message.content,
            "stream": [piece for piece in pieces if piece],
            "tools": answer.choices[0].message.content,
            "structured": json.loads(structured.choices[0].message.content),
        }
    )
)
