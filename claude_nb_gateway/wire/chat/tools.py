"""From OpenAI's function tools to the CLI's, and what is asked of their use. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from ...claude_code.property_names import with_legal_names
from ...claude_code.tools import name_for_cli
from ...claude_code.turns import CallRule, Tool
from ...errors import InvalidRequest, quoted
from ..dialects import check_bounds, check_references, for_tool, in_newest_form
from .tool_schemas import SchemaMender
from .types import (
    AllowedToolsChoice,
    ChatCompletionRequest,
    FunctionTool,
    NamedToolChoice,
    ToolChoice,
    ToolMessage,
)

# Ten times as many as OpenAI takes and more: no client that means well has so many.
MOST_TOOLS = 2_000

_NOT_IN_WORDS = "An answer without that call is wrong, whatever it says."


def tools_of(request: ChatCompletionRequest) -> tuple[Tool, ...]:
    """The functions that `request` lets the model call.

    Raises
    ------
    InvalidRequest
        Two functions have one name, one has no name, a schema is none of an object,
        or `tool_choice` names a function that is not there.
    """
    sent = request.tools or []
    if len(sent) > MOST_TOOLS:
        raise InvalidRequest(
            f"`tools`: there are more than {MOST_TOOLS}: send fewer.", param="tools"
        )
    mender = SchemaMender()
    tools = tuple(
        _tool(tool, f"tools[{index}].function", mender)
        for index, tool in enumerate(sent)
    )
    names: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in names:
            raise InvalidRequest(
                f"`tools[{index}].function.name`: {quoted(tool.name)} is there "
                "already.",
                param=f"tools[{index}].function.name",
            )
        names.add(tool.name)
    choice = request.tool_choice
    for name in _chosen(choice):
        if name not in names:
            raise InvalidRequest(
                f"`tool_choice`: there is no {quoted(name)} among `tools`.",
                param="tool_choice",
            )
    if _requires_call(choice) and not (tools and _chosen(choice, names)):
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
        name_for_cli(tool.name): _text_of(sent.function.parameters)
        for tool, sent in zip(tools, request.tools or [], strict=False)
        if sent.function.strict
    }
    free = choice in (None, "auto") and not one_at_a_time and not strict
    if not tools or free:
        return None
    words = []
    allowed = None
    if isinstance(choice, AllowedToolsChoice):
        names = [name_for_cli(name) for name in _chosen(choice)]
        allowed = frozenset(names)
        words.append(f"You must call no tools but these: {', '.join(names) or 'none'}.")
        if _requires_call(choice):
            words.append(f"You must call one of them. {_NOT_IN_WORDS}")
    elif isinstance(choice, NamedToolChoice):
        name = name_for_cli(choice.function.name)
        allowed = frozenset({name})
        words.append(f"You must call the tool {name}, and no other. {_NOT_IN_WORDS}")
    elif choice == "required":
        words.append(f"You must call one of the tools. {_NOT_IN_WORDS}")
    elif choice == "none":
        allowed = frozenset()
        words.append("You must not call any tool: answer in words.")
    if one_at_a_time and allowed != frozenset():
        words.append("You must call only one tool at a time, and wait for its result.")
    if strict and allowed != frozenset():
        words.append("The arguments of each call must match the tool's schema.")
    required = _requires_call(choice)
    return CallRule(" ".join(words), allowed, required, one_at_a_time, strict)


def _requires_call(choice: ToolChoice | None) -> bool:
    if isinstance(choice, AllowedToolsChoice):
        return choice.allowed_tools.mode == "required"
    return isinstance(choice, NamedToolChoice) or choice == "required"


def _chosen(
    choice: ToolChoice | None, default: Collection[str] = ()
) -> Collection[str]:
    """The functions that `choice` names, `default` if it names none at all."""
    if isinstance(choice, AllowedToolsChoice):
        return [tool.function.name for tool in choice.allowed_tools.tools]
    return [choice.function.name] if isinstance(choice, NamedToolChoice) else default


def _tool(tool: FunctionTool, path: str, mender: SchemaMender) -> Tool:
    function = tool.function
    if not function.name:
        raise InvalidRequest(f"`{path}.name` is empty.", param=f"{path}.name")
    where = f"{path}.parameters"
    sent = function.parameters or {"properties": {}}
    check_bounds(sent, where)
    schema = mender.mended(sent, function.name, where)
    # What strict calls are checked against is what was meant.
    function.parameters = schema = in_newest_form(schema)
    if function.strict:
        check_references(schema, where)
    flat, left_out = for_tool(schema)
    shown, renamed = with_legal_names(flat)
    description = function.description or ""
    return Tool(function.name, description, _text_of(shown), renamed, left_out)


def _text_of(schema: dict[str, Any] | None) -> str:
    return msgspec.json.encode(schema).decode()


def left_out_of(tools: tuple[Tool, ...]) -> list[str]:
    """The fields of the request, keywords of schemas, that `tools` are without."""
    return [
        f"tools[{index}].function.parameters.{keyword}"
        for index, tool in enumerate(tools)
        for keyword in tool.left_out
    ]


def checked_schemas(request: ChatCompletionRequest) -> Iterator[tuple[str, str]]:
    """The schemas that arguments are checked against: field and text of each."""
    for index, tool in enumerate(request.tools or []):
        if tool.function.strict and tool.function.parameters:
            schema = _text_of(tool.function.parameters)
            yield f"tools[{index}].function.parameters", schema


def names_by_cli_name(tools: tuple[Tool, ...]) -> dict[str, str]:
    """The client's name of each tool, by the name the model calls it by."""
    return {name_for_cli(tool.name): tool.name for tool in tools}
