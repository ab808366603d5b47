"""What the model answers to the programs: a call for the weather, then what it is."""

from __future__ import annotations

import json
import re

from claude_nb_gateway.demo.model import Reply, ToolUse

FORECAST = {"city": "Oslo", "sky": {"kind": "snow", "depth": {"centimetres": 4.5}}}
WEATHER = "-3 C in Oslo"
COLD = "It is cold."


def reply(request):
    """As a model would: the weather needs a call, and what it gives is told."""
    said = request.turns[-1][1]
    results = [
        block["content"]
        for block in request.messages[-1]["content"]
        if block["type"] == "tool_result"
    ]
    if results:
        assert WEATHER in json.dumps(results), results
        return Reply(["It is ", "cold."])
    if "Weather?" in said:
        tool = tool_with("city", request)
        assert "The weather of a city." in tool["description"]
        return Reply(tool_uses=[ToolUse(tool["name"], ('{"city": ', '"Oslo"}'))])
    if "Structured?" in said:
        return forecast(request)
    return Reply(["Good ", "day"], delay_seconds=0.05)


def tool_with(property_name, request):
    tools = request.body.get("tools", [])
    return next(
        (tool for tool in tools if property_name in tool["input_schema"]["properties"]),
        None,
    )


def forecast(request):
    """The answer that a schema asks for: by a tool or, told of it in words, in text."""
    tool = tool_with("sky", request)
    told = json.dumps(tool["input_schema"] if tool else request.body)
    assert all(word in told for word in ("rain", "snow", "centimetres")), told
    if tool is None:
        return Reply(in_pieces(FORECAST))
    unit = {"unit": "C"} if "unit" in tool["input_schema"]["required"] else {}
    return Reply(tool_uses=[ToolUse(tool["name"], in_pieces(FORECAST | unit))])


def in_pieces(value):
    text = json.dumps(value)
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def reply_to_smolagents(request):
    """Each step of its agents is a call, or code, and so is the answer."""
    said = "\n".join(text for _, text in request.turns)
    if "Weather?" not in said:
        return reply(request)
    if not request.body.get("tools"):
        code = (
            f"final_answer({COLD!r})"
            if WEATHER in said
            else "print(get_weather('Oslo'))"
        )
        return Reply(["Thought: look.\n<co", f"de>\n{code}\n</co", "de> and more"])
    if WEATHER in said:
        tool, value = tool_with("answer", request), {"answer": COLD}
    else:
        tool, value = tool_with("city", request), {"city": "Oslo"}
    return Reply(tool_uses=[ToolUse(tool["name"], in_pieces(value))])


def reply_to_dspy(request):
    """The fields that it names, between its marks or as JSON."""
    said = request.turns[-1][1]
    known = WEATHER in said
    values = {
        "answer": COLD if "Weather?" in said else "Good day",
        "forecast": FORECAST,
        "reasoning": "I looked.",
        "next_thought": "I look.",
        "next_tool_name": "finish" if known else "get_weather",
        "next_tool_args": {} if known else {"city": "Oslo"},
    }
    asked = said[said.rindex("Respond with") :]
    tool = next(iter(request.body.get("tools", [])), None)
    if tool:
        fields = {name: values[name] for name in tool["input_schema"]["properties"]}
        return Reply(tool_uses=[ToolUse(tool["name"], in_pieces(fields))])
    marked = re.findall(r"\[\[ ## (\w+) ## \]\]", asked)
    if not marked:
        fields = [name for name in re.findall(r"`(\w+)`", asked) if name in values]
        return Reply(in_pieces({name: values[name] for name in fields}))
    text = "".join(
        f"[[ ## {name} ## ]]\n{as_text(values.get(name, ''))}\n\n" for name in marked
    )
    return Reply(re.findall(r"\S+\s*", text))


def as_text(value):
    return value if isinstance(value, str) else json.dumps(value)
