"""From OpenAI's `response_format` to what the model is asked for. Pure.

The CLI gives the model a tool whose arguments are the answer, checks them, and asks
again for what does not match. Where a schema is none of such a tool the answer is asked
for in words. What the CLI does not check is checked by `answers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ...claude_code.protocol import STRUCTURED_OUTPUT, Result
from ...claude_code.turns import AnswerRule
from ...errors import ConstraintUnmet, InvalidRequest
from ..dialects import check_bounds, check_references, for_answer, in_newest_form
from .tool_schemas import SchemaMender
from .types import ChatCompletionRequest, JSONObjectFormat, JSONSchemaFormat

SCHEMA = "response_format.json_schema.schema"

# Put after the question, where the model heeds it most, and not in the history.
_JSON_ALONE = (
    "You must answer with one JSON {what} and nothing else: no words before or after "
    "it, no code fence."
)


@dataclass(frozen=True)
class AnswerFormat:
    """How the answer is asked for, and what it must be.

    Parameters
    ----------
    schema:
        What the CLI holds the model to, as text; empty for nothing.
    rule:
        What the answer is checked for beside that.
    left_out:
        The keywords of the client's schema that the CLI cannot be given.
    """

    schema: str = ""
    rule: AnswerRule | None = None
    left_out: tuple[str, ...] = ()


def format_of(request: ChatCompletionRequest) -> AnswerFormat:
    """What `request` wants the answer to be.

    Raises
    ------
    InvalidRequest
        Its schema is too much, or, where it is strict, none of an object.
    """
    wanted = request.response_format
    if isinstance(wanted, JSONObjectFormat):
        words = _JSON_ALONE.format(what="object")
        return AnswerFormat(rule=AnswerRule(words, '{"type":"object"}'))
    if not isinstance(wanted, JSONSchemaFormat):
        return AnswerFormat()
    sent = wanted.json_schema.schema
    if sent is None:
        raise InvalidRequest(f"`{SCHEMA}` is missing.", param=SCHEMA)
    check_bounds(sent, SCHEMA)
    schema = in_newest_form(SchemaMender().mended_answer(sent, SCHEMA))
    # What the answer is checked against is what was meant.
    wanted.json_schema.schema = schema
    strict = wanted.json_schema.strict
    if strict is not False:
        check_references(schema, SCHEMA)
    reduced = for_answer(schema)
    if strict and not reduced.is_object:
        raise InvalidRequest(
            f"`{SCHEMA}` must be the schema of an object: wrap what you want in one, "
            "or leave `strict` out.",
            param=SCHEMA,
        )
    own = "{}" if strict is False else _text_of(schema)
    if reduced.schema is None:
        return AnswerFormat(rule=AnswerRule(_in_words(schema), own))
    held = bool(reduced.left_out) and strict is not False
    rule = AnswerRule(schema=own) if held else None
    return AnswerFormat(_text_of(reduced.schema), rule, reduced.left_out)


def checked_schema(request: ChatCompletionRequest) -> Iterator[tuple[str, str]]:
    """The schema that the answer is checked against: its field, and it as text."""
    wanted = request.response_format
    if isinstance(wanted, JSONSchemaFormat) and wanted.json_schema.strict is not False:
        yield SCHEMA, _text_of(wanted.json_schema.schema or {})


def words_for(request: ChatCompletionRequest) -> list[str]:
    """What the schema cannot say of the answer, for the system prompt."""
    wanted = request.response_format
    if not isinstance(wanted, JSONSchemaFormat) or not wanted.json_schema.description:
        return []
    about = wanted.json_schema
    return [f"The answer is {about.name}: {about.description}"]


def _in_words(schema: dict[str, Any]) -> str:
    words = _JSON_ALONE.format(what="value that matches the JSON Schema below")
    return f"{words}\n\n{_text_of(schema)}"


def _text_of(schema: dict[str, Any]) -> str:
    return msgspec.json.encode(schema).decode()


class StructuredAnswer:
    """Follows an answer that has a schema, which the model writes as arguments.

    Streamed it is passed on while it is written; then the CLI's asking again for
    what did not match comes too late. Whole, only what did match is.
    """

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._open = False
        self._text = ""

    def start(self, block: Mapping[str, Any]) -> None:
        """A content block begins."""
        self._open = block.get("name") == STRUCTURED_OUTPUT
        if self._open and self._text and self._streamed:
            raise _unmet()
        if self._open:
            self._text = ""

    def add(self, fragment: str) -> str:
        """A content block grows: what of it to pass on."""
        if not self._open:
            return ""
        self._text += fragment
        return fragment if self._streamed else ""

    def finish(self, result: Result) -> str:
        """The turn has ended: what is still to pass on.

        Raises
        ------
        ConstraintUnmet
            The model did not give an answer that matches.
        """
        if result.structured_output is None:
            raise _unmet()
        if self._streamed and self._text:
            return ""
        return self._text or result.result or ""


def _unmet() -> ConstraintUnmet:
    return ConstraintUnmet(
        "You must answer in the format of `response_format`.", param="response_format"
    )
