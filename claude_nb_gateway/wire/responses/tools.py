"""Tools of the Responses API as functions, and calls of those as items again. Pure.

The CLI only knows functions. A custom tool becomes a function with one text, the
client's shell one with a command, and a tool in a namespace gets that name in front.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET

from ...claude_code.surrogates import repaired_json
from ...errors import InvalidRequest, quoted
from ..calls import Call
from ..fields import text_and_path
from ..tools import FunctionDefinition
from .tool_types import (
    CustomTool,
    CustomToolCallItem,
    CustomToolCallOut,
    ExecAction,
    LocalShellCallItem,
    LocalShellCallOut,
    LocalShellTool,
    NamespaceTool,
)
from .types import FunctionCallItem, FunctionCallOut, ResponseFunctionTool

Json = dict[str, Any]
CallOut = FunctionCallOut | CustomToolCallOut | LocalShellCallOut
CallItem = FunctionCallItem | CustomToolCallItem | LocalShellCallItem
ClientTool = ResponseFunctionTool | CustomTool | LocalShellTool | NamespaceTool

#: Tools on OpenAI's servers. They are left out, and the client is informed.
HOSTED = (
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "file_search",
    "image_generation",
    "programmatic_tool_calling",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
)
CLIENTS = ("function", "custom", "local_shell", "namespace")

LOCAL_SHELL = "local_shell"

_TEXT_SCHEMA: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
_TEXT = "The argument `input` is the whole input of the tool, one text."
_GRAMMAR = "The text must match this {syntax} grammar:\n\n{definition}"
_COMMAND = (
    "Runs a command on the user's machine and gives its output. `command` is the "
    "program and its arguments, word by word; no shell reads it."
)
_COMMAND_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["command"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class _Call:
    """The kind of item that a call of a function becomes."""

    kind: str
    name: str = ""
    namespace: str | None = None


@dataclass
class ClientTools:
    """The tools of one request.

    `functions`: what the model gets. `shown`: the tools as the response shows them.
    `left_out`: the fields of the tools that cannot be used.
    """

    functions: list[FunctionDefinition] = field(default_factory=list)
    shown: list[ClientTool] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    _calls: dict[str, _Call] = field(default_factory=dict)

    def begin(
        self, call_id: str, function: str, new_id: Callable[[str], str]
    ) -> CallOut:
        """The item for a call of `function` that begins; `new_id` takes a prefix."""
        call = self._calls.get(function, _Call("function", function))
        namespace = call.namespace or UNSET
        if call.kind == "custom":
            return CustomToolCallOut(
                id=new_id("ctc"), call_id=call_id, name=call.name, namespace=namespace
            )
        if call.kind == LOCAL_SHELL:
            return LocalShellCallOut(id=new_id("lsh"), call_id=call_id)
        return FunctionCallOut(
            id=new_id("fc"), call_id=call_id, name=call.name, namespace=namespace
        )

    def add(self, tool: ClientTool, path: str, namespace: str | None = None) -> None:
        """Add a tool of the client; raises InvalidRequest."""
        if isinstance(tool, NamespaceTool):
            for index, raw in enumerate(tool.tools):
                inner = f"{path}.tools[{index}]"
                self.add(_read(raw, inner, ("function", "custom")), inner, tool.name)
            return
        if isinstance(tool, LocalShellTool):
            call, function = _Call(LOCAL_SHELL), _shell(path)
        elif isinstance(tool, CustomTool):
            call = _Call("custom", tool.name, namespace)
            function = _custom(tool, path, namespace)
        else:
            call = _Call("function", tool.name, namespace)
            function = FunctionDefinition(
                _function_name(tool.name, namespace),
                tool.description,
                tool.parameters,
                tool.strict,
                path,
                f"{path}.parameters",
            )
        self.functions.append(function)
        self._calls[function.name] = call


def read_tools(tools: Sequence[Json] | None) -> ClientTools:
    """The tools of a request.

    Raises
    ------
    InvalidRequest
        A tool has an unknown type, or wrong fields.
    """
    found = ClientTools()
    for index, raw in enumerate(tools or []):
        path = f"tools[{index}]"
        if raw.get("type") in HOSTED:
            found.left_out.append(path)
            continue
        tool = _read(raw, path, CLIENTS)
        found.shown.append(tool)
        found.add(tool, path)
    return found


def flat_name(name: str, namespace: str | None) -> str:
    """The name of the function for the tool `name` in `namespace`."""
    return f"{namespace}__{name}" if namespace else name


def _function_name(name: str, namespace: str | None) -> str:
    # An empty name is refused later, with its path.
    return flat_name(name, namespace) if name else ""


def earlier_call(item: CallItem, path: str) -> Call:
    """The earlier call in the item at `path`, as a call of a function."""
    if isinstance(item, LocalShellCallItem):
        action = {name: value for name, value in item.action.items() if value}
        action.pop("type", None)
        call_id = item.call_id or item.id or ""
        return Call(call_id, LOCAL_SHELL, action, f"{path}.action")
    name = flat_name(item.name, item.namespace)
    if isinstance(item, CustomToolCallItem):
        return Call(item.call_id, name, {"input": item.input}, f"{path}.input")
    return Call(item.call_id, name, item.arguments, f"{path}.arguments")


def fill(item: CustomToolCallOut | LocalShellCallOut, arguments: str) -> None:
    """Put the arguments into the item; if they were cut, they may not be JSON."""
    given = _parsed(arguments)
    if isinstance(item, CustomToolCallOut):
        text = given.get("input", arguments)
        item.input = text if isinstance(text, str) else arguments
        return
    action = {"env": {}, "command": [], **given}
    try:
        item.action = msgspec.convert({"type": "exec", **action}, ExecAction)
    except msgspec.ValidationError:
        item.action = ExecAction(command=[], env={})


def _parsed(arguments: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(repaired_json(arguments) or "{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _read(raw: Json, path: str, kinds: Sequence[str]) -> ClientTool:
    kind = raw.get("type")
    if kind not in kinds:
        raise InvalidRequest(
            f"`{path}.type`: {quoted(str(kind))} is no tool that there is here: send "
            f"one of {', '.join(kinds)}. Others can be run as a function of yours.",
            param=f"{path}.type",
        )
    try:
        tool: ClientTool = msgspec.convert(raw, ClientTool)
    except msgspec.ValidationError as error:
        text, inner = text_and_path(error)
        where = path + inner
        raise InvalidRequest(f"`{where}`: {text}.", param=where) from None
    return tool


def _custom(tool: CustomTool, path: str, namespace: str | None) -> FunctionDefinition:
    words = [tool.description or "", _TEXT]
    if tool.format is not None and tool.format.get("type") == "grammar":
        words.append(
            _GRAMMAR.format(
                syntax=tool.format.get("syntax", ""),
                definition=tool.format.get("definition", ""),
            )
        )
    description = "\n\n".join(filter(None, words))
    name = _function_name(tool.name, namespace)
    return FunctionDefinition(name, description, _TEXT_SCHEMA, True, path, path)


def _shell(path: str) -> FunctionDefinition:
    return FunctionDefinition(LOCAL_SHELL, _COMMAND, _COMMAND_SCHEMA, True, path, path)
