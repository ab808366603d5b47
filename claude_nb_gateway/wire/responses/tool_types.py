"""Tools of the Responses API that clients run beside functions, and their items.

Codex sends all of them. Field by field as in OpenAI's specification.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from ..fields import Name


class CustomTool(Struct, tag="custom", omit_defaults=True):
    """A tool that takes one text; `format` may be a grammar of it."""

    name: Name
    description: str | None = None
    format: dict[str, Any] | None = None


class LocalShellTool(Struct, tag="local_shell"):
    """A shell on the client's machine."""


class NamespaceTool(Struct, tag="namespace", omit_defaults=True):
    """Functions and custom tools that belong together."""

    name: Name
    tools: list[dict[str, Any]]
    description: str | None = None


class CustomChoice(Struct, tag="custom"):
    """The model must call this custom tool."""

    name: Name


class AllowedChoice(Struct, tag="allowed_tools"):
    """The model may, or must, call one of these and no other."""

    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class CustomToolCallItem(Struct, tag="custom_tool_call", kw_only=True):
    """An earlier call of a custom tool."""

    call_id: str
    name: Name
    input: str
    namespace: Name | None = None


class LocalShellCallItem(Struct, tag="local_shell_call", kw_only=True):
    """An earlier call of the client's shell."""

    action: dict[str, Any]
    call_id: str | None = None
    id: str | None = None


class WebSearchCallItem(Struct, tag="web_search_call"):
    """A search on OpenAI's servers; left out, as are the items below."""


class FileSearchCallItem(Struct, tag="file_search_call"):
    """A search of files on OpenAI's servers."""


class CodeInterpreterCallItem(Struct, tag="code_interpreter_call"):
    """Code that ran on OpenAI's servers."""


class ImageGenerationCallItem(Struct, tag="image_generation_call"):
    """An image of OpenAI's servers."""


class ComputerCallItem(Struct, tag="computer_call"):
    """An action on a computer."""


class ComputerCallOutputItem(Struct, tag="computer_call_output"):
    """A screenshot of a computer."""


class ToolSearchCallItem(Struct, tag="tool_search_call"):
    """A search of tools on OpenAI's servers."""


class ToolSearchOutputItem(Struct, tag="tool_search_output"):
    """The tools that such a search found."""


#: Items of tools on OpenAI's servers; they are not sent to the model.
HostedCallItem = (
    WebSearchCallItem
    | FileSearchCallItem
    | CodeInterpreterCallItem
    | ImageGenerationCallItem
    | ComputerCallItem
    | ComputerCallOutputItem
    | ToolSearchCallItem
    | ToolSearchOutputItem
)


class CustomToolCallOut(Struct, tag="custom_tool_call", kw_only=True):
    """A call that the model makes; answer it by a `custom_tool_call_output`."""

    id: str
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    input: str = ""


class ExecAction(Struct, tag="exec", kw_only=True, omit_defaults=True):
    """A command to run, word by word."""

    command: list[str]
    env: dict[str, str]
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class LocalShellCallOut(Struct, tag="local_shell_call", kw_only=True):
    """A command that the model wants run; answer it by its output."""

    id: str
    call_id: str
    action: ExecAction = field(default_factory=lambda: ExecAction(command=[], env={}))
    status: Literal["in_progress", "completed", "incomplete"] = "in_progress"
