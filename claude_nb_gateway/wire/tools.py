"""From the functions of a request to tools of the CLI, and to rules for their use.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from ..claude_code.property_names import with_legal_names
from ..claude_code.tools import name_for_cli
from ..claude_code.turns import CallRule, Tool
from ..errors import InvalidRequest, quoted
from .dialects import check_bounds, check_references, for_tool, in_newest_form
from .tool_schemas import SchemaMender

# OpenAI accepts 128. No well-meaning client has so many.
MOST_TOOLS = 2_000

_NOT_IN_WORDS = "An answer without that call is wrong, whatever it says."


@dataclass(frozen=True)
class FunctionDefinition:
    """A function of the client that the model may call.

    Parameters
    ----------
    schema:
        The JSON schema of the arguments.
    path:
        The function's field in the request, for errors.
    schema_path:
        The field with the schema, for errors.
    """

    name: str
    description: str | None
    schema: dict[str, Any] | None
    strict: bool | None
    path: str
    schema_path: str


@dataclass(frozen=True)
class ToolChoice:
    """Which functions the model may or must call.

    ``named``: it must call the one in `names`. ``allowed``: it may call only those in
    `names`, and must call one of them if `required`.
    """

    kind: Literal["auto", "none", "required", "named", "allowed"] = "auto"
    names: tuple[str, ...] = ()
    required: bool = False

    @property
    def requires_call(self) -> bool:
        """Whether an answer without a call is wrong."""
        return self.required or self.kind in ("required", "named")

    def chosen(self, default: Collection[str] = ()) -> Collection[str]:
        """The functions that it names; `default` if this kind names none."""
        return self.names if self.kind in ("named", "allowed") else default


@dataclass(frozen=True)
class ToolUse:
    """The tools of a request, and the rules for their use.

    Parameters
    ----------
    tools:
        What the model gets.
    rule:
        What the calls in the answer must obey; None if there is no rule.
    fields:
        The field with the schema of each tool.
    checked:
        The schemas that the gateway checks arguments against: the field and the text
        of each.
    left_out:
        The keywords of schemas, as fields, that the CLI does not get.
    """

    tools: tuple[Tool, ...] = ()
    rule: CallRule | None = None
    fields: tuple[str, ...] = ()
    checked: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()


#: A request without tools.
NO_TOOLS = ToolUse()


def tool_use(
    functions: Sequence[FunctionDefinition],
    choice: ToolChoice,
    *,
    one_at_a_time: bool = False,
    has_results: bool = False,
) -> ToolUse:
    """The tools for `functions`, and the rules that follow from `choice`.

    `has_results`: the conversation has results of calls. Then the Messages API wants
    the tools even if the model must not call any.

    Raises
    ------
    InvalidRequest
        Two functions have the same name, one has no name, a schema is not for an
        object, or `choice` names a missing function.
    """
    if len(functions) > MOST_TOOLS:
        raise InvalidRequest(
            f"`tools`: there are more than {MOST_TOOLS}: send fewer.", param="tools"
        )
    mender = SchemaMender()
    made = [_tool(function, mender) for function in functions]
    _check_names(functions, choice)
    pairs = list(zip(functions, made, strict=True))
    strict = [(function, tool) for function, tool in pairs if function.strict]
    checked = tuple((function.schema_path, tool.checked) for function, tool in strict)
    if choice.kind == "none" and not has_results:
        return ToolUse(checked=checked)
    schemas = {name_for_cli(function.name): tool.checked for function, tool in strict}
    return ToolUse(
        tuple(each.tool for each in made),
        _rule(choice, schemas, one_at_a_time=one_at_a_time) if made else None,
        tuple(function.schema_path for function in functions),
        checked,
        _left_out(pairs),
    )


def _left_out(pairs: Sequence[tuple[FunctionDefinition, _Made]]) -> tuple[str, ...]:
    return tuple(
        f"{function.schema_path}.{keyword}"
        for function, made in pairs
        for keyword in made.tool.left_out
    )


class _Made(NamedTuple):
    """A tool, and the full schema of its arguments as text, for strict calls."""

    tool: Tool
    checked: str


def _check_names(functions: Sequence[FunctionDefinition], choice: ToolChoice) -> None:
    names: set[str] = set()
    for function in functions:
        if function.name in names:
            raise InvalidRequest(
                f"`{function.path}.name`: {quoted(function.name)} is there already.",
                param=f"{function.path}.name",
            )
        names.add(function.name)
    for name in choice.chosen():
        if name not in names:
            raise InvalidRequest(
                f"`tool_choice`: there is no {quoted(name)} among `tools`.",
                param="tool_choice",
            )
    if choice.requires_call and not (names and choice.chosen(names)):
        raise InvalidRequest(
            "`tool_choice` requires a call: send `tools`.", param="tool_choice"
        )


def _rule(
    choice: ToolChoice, strict: dict[str, str], *, one_at_a_time: bool
) -> CallRule | None:
    if choice.kind == "auto" and not one_at_a_time and not strict:
        return None
    words = []
    allowed = None
    if choice.kind == "allowed":
        names = [name_for_cli(name) for name in choice.names]
        allowed = frozenset(names)
        words.append(f"You must call no tools but these: {', '.join(names) or 'none'}.")
        if choice.required:
            words.append(f"You must call one of them. {_NOT_IN_WORDS}")
    elif choice.kind == "named":
        (name,) = map(name_for_cli, choice.names)
        allowed = frozenset({name})
        words.append(f"You must call the tool {name}, and no other. {_NOT_IN_WORDS}")
    elif choice.kind == "required":
        words.append(f"You must call one of the tools. {_NOT_IN_WORDS}")
    elif choice.kind == "none":
        allowed = frozenset()
        words.append("You must not call any tool: answer in words.")
    if one_at_a_time and allowed != frozenset():
        words.append("You must call only one tool at a time, and wait for its result.")
    if strict and allowed != frozenset():
        words.append("The arguments of each call must match the tool's schema.")
    return CallRule(
        " ".join(words), allowed, choice.requires_call, one_at_a_time, strict
    )


def _tool(function: FunctionDefinition, mender: SchemaMender) -> _Made:
    if not function.name:
        raise InvalidRequest(
            f"`{function.path}.name` is empty.", param=f"{function.path}.name"
        )
    where = function.schema_path
    sent = function.schema or {"properties": {}}
    check_bounds(sent, where)
    schema = in_newest_form(mender.mended(sent, function.name, where))
    if function.strict:
        check_references(schema, where)
    flat, left_out = for_tool(schema)
    shown, renamed = with_legal_names(flat)
    description = function.description or ""
    tool = Tool(function.name, description, _text_of(shown), renamed, left_out)
    # Strict calls are checked against the full schema, not the reduced one.
    return _Made(tool, _text_of(schema))


def _text_of(schema: dict[str, Any]) -> str:
    return msgspec.json.encode(schema).decode()
