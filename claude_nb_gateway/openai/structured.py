"""From OpenAI's `response_format` to the schema that the CLI holds the model to. Pure.

The CLI gives the model a tool whose arguments are the answer, checks them, and asks
again for what does not match.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..claude.protocol import STRUCTURED_OUTPUT, Result
from ..dialects import check_bounds, check_references
from ..errors import ConstraintUnmet, InvalidRequest
from .types import ChatCompletionRequest, JSONObjectFormat, JSONSchemaFormat

SCHEMA = "response_format.json_schema.schema"


def schema_of(request: ChatCompletionRequest) -> str:
    """The JSON schema of the answer, as text; empty where it is free text.

    Raises
    ------
    InvalidRequest
        It is no schema, or not that of an object.
    """
    wanted = request.response_format
    if isinstance(wanted, JSONObjectFormat):
        return '{"type":"object"}'
    if not isinstance(wanted, JSONSchemaFormat):
        return ""
    schema = wanted.json_schema.schema
    if schema is None:
        raise InvalidRequest(f"`{SCHEMA}` is missing.", param=SCHEMA)
    check_bounds(schema, SCHEMA)
    check_references(schema, SCHEMA)
    if schema.get("type") != "object":
        raise InvalidRequest(
            f"`{SCHEMA}` must be the schema of an object: wrap what you want in one.",
            param=SCHEMA,
        )
    return msgspec.json.encode(schema).decode()


def words_for(request: ChatCompletionRequest) -> list[str]:
    """What the schema cannot say of the answer, for the system prompt."""
    wanted = request.response_format
    if not isinstance(wanted, JSONSchemaFormat) or not wanted.json_schema.description:
        return []
    about = wanted.json_schema
    return [f"The answer is {about.name}: {about.description}"]


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
    return ConstraintUnmet("Answer in the format of `response_format`.")
