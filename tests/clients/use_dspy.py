"""What DSPy's users do, with the adapter that is named."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import dspy
from forecast import Forecast, get_weather

ADAPTERS = {"chat": dspy.ChatAdapter, "json": dspy.JSONAdapter}


class Foresee(dspy.Signature):
    """Foresee the weather."""

    question: str = dspy.InputField()
    forecast: Forecast = dspy.OutputField()


async def stream() -> list[str]:
    listener = dspy.streaming.StreamListener("answer")
    program = dspy.streamify(
        dspy.Predict("question -> answer"), stream_listeners=[listener]
    )
    return [
        part.chunk
        async for part in program(question="Greet me.")
        if isinstance(part, dspy.streaming.StreamResponse)
    ]


lm = dspy.LM("openai/sonnet", api_base=os.environ["OPENAI_BASE_URL"], cache=False)
dspy.configure(lm=lm, adapter=ADAPTERS[sys.argv[1]]())
said = dspy.Predict("question -> answer")(question="Greet me.")
pieces = asyncio.run(stream())
if sys.argv[1] == "json":
    # DSPy leaves the quotes around the field.
    pieces = [pieces[0].lstrip(' "'), *pieces[1:-1], pieces[-1].rstrip('"')]
answer = dspy.ReAct("question -> answer", tools=[get_weather])(question="Weather?")
structured = dspy.Predict(Foresee)(question="Structured?")
print(
    json.dumps(
        {
            "chat": said.answer,
            "stream": [piece for piece in pieces if piece],
            "tools": answer.answer,
            "structured": structured.forecast.model_dump(),
        }
    )
)
