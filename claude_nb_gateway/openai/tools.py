"""From OpenAI's function tools to the CLI's, and what is asked of their use. Pure."""

from __future__ import annotations

import msgspec

from ..claude.tools import name_for_cli
from ..claude.turns import CallRule, Tool
from ..errors import InvalidRequest
from ..schemas import check_schema
from .types import ChatCompletionRequest, FunctionTool, NamedToolChoice, ToolMessage


def tools_of(request: ChatCompletionRequest) -> tuple[Tool, ...]:
    """The functions that `request` lets the model call.

    Raises
    ------
    InvalidRequest
        Two functions have one name, one has no name, a schema is none of an object,
        or `tool_choice` names a function that is not there.
    """
    tools = tuple(
        _tool(tool, f"tools[{index}].function")
        for index, tool in enumerate(request.tools or [])
    )
    names = [tool.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidRequest(
                f"`tools[{index}].function.name`: {name!r} is there already.",
                param=f"tools[{index}].function.name",
            )
    choice = request.tool_choice
    if isinstance(choice, NamedToolChoice) and choice.function.name not in names:
        raise InvalidRequest(
            f"`tool_choice`: there is no {choice.function.name!r} among `tools`.",
            param="tool_choice",
        )
    if choice == "required" and not tools:
        raise InvalidRequest(
            "`tool_choice` requires a call: send `tools`.", param="tool_choice"
        )
    called = any(isinstance(message, ToolMessage) for message in request.messages)
    # Where there are results of calls the Messages API wants the tools as well.
    return () if choice == "none" and not called else tools


def rule_of(request: ChatCompletionRequest, tools: tuple[Tool, ...]) -> CallRule | None:
    """What `request`, with `tools`, demands of the answer's calls, None for nothing."""
    choice = request.tool_choice
    one_at_a_time = request.parallel_tool_calls is False
    strict = {
        name_for_cli(tool.name): tool.input_schema
        for tool, sent in zip(tools, request.tools or [], strict=False)
        if sent.function.strict
    }
    free = choice in (None, "auto") and not one_at_a_time and not strict
    if not tools or free:
        return None
    words = []
    allowed = None
    if isinstance(choice, NamedToolChoice):
        name = name_for_cli(choice.function.name)
        allowed = frozenset({name})
        words.append(f"Answer by a call of the tool {name}, and of no other tool.")
    elif choice == "required":
        words.append("Answer by a call of one of the tools.")
    elif choice == "none":
        allowed = frozenset()
        words.append("Call no tool: answer in words.")
    if one_at_a_time and allowed != frozenset():
        words.append("Call only one tool at a time, and wait for its result.")
    if strict and allowed != frozenset():
        words.append("The arguments of a call must match the tool's schema exactly.")
    required = isinstance(choice, NamedToolChoice) or choice == "required"
    return CallRule(" ".join(words), allowed, required, one_at_a_time, strict)


def _tool(tool: FunctionTool, path: str) -> Tool:
    function = tool.function
    if not function.name:
        raise InvalidRequest(f"`{path}.name` is empty.", param=f"{path}.name")
    schema = function.parameters or {"type": "object", "properties": {}}
    if schema.get("type", "object") != "object":
        raise InvalidRequest(
            f"`{path}.parameters` must be the schema of an object.",
            param=f"{path}.parameters",
        )
    if function.strict:
        check_schema(schema, f"{path}.parameters")
    return Tool(
        function.name,
        function.description or "",
        msgspec.json.encode({"type": "object", **schema}).decode(),
    )


def names_by_cli_name(tools: tuple[Tool, ...]) -> dict[str, str]:
    """The client's name of each tool, by the name the model calls it by."""
    return {name_for_cli(tool.name): tool.name for tool in tools}
