"""From the format that a request wants of its answer to what the model is asked for.

Pure. The CLI gives the model a tool whose arguments are the answer. It checks them and
asks again if they do not match. Not every schema can be that of a tool: then the model
is asked in words. `turn.structured` checks what the CLI does not check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from ..claude_code.turns import AnswerRule
from ..errors import InvalidRequest
from .dialects import check_bounds, check_references, for_answer, in_newest_form
from .tool_schemas import SchemaMender

# This goes after the question, where the model follows it best. It is no part of the
# history.
_JSON_ALONE = (
    "You must answer with one JSON {what} and nothing else: no words before or after "
    "it, no code fence."
)


@dataclass(frozen=True)
class AnswerFormat:
    """How the model is asked for the answer, and what the answer must be.

    Parameters
    ----------
    schema:
        The JSON schema for the CLI, as text; empty if there is none.
    rule:
        What the gateway checks beside that.
    checked:
        The field of the schema that the gateway checks, and the schema as text.
    left_out:
        The keywords of the client's schema, as fields, that the CLI does not get.
    prompt:
        What the system prompt says about the answer.
    """

    schema: str = ""
    rule: AnswerRule | None = None
    checked: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    prompt: tuple[str, ...] = ()


#: The answer is text.
TEXT = AnswerFormat()

#: The answer is a JSON object, with any content.
JSON_OBJECT = AnswerFormat(
    rule=AnswerRule(_JSON_ALONE.format(what="object"), '{"type":"object"}')
)


def json_schema(
    schema: dict[str, Any] | None,
    field: str,
    *,
    strict: bool | None = None,
    name: str = "",
    description: str | None = None,
) -> AnswerFormat:
    """An answer in JSON that matches `schema`, which the request has in `field`.

    The gateway checks what the CLI cannot check, unless `strict` is false.

    Raises
    ------
    InvalidRequest
        The schema is missing or too large; or it is strict and not for an object.
    """
    if schema is None:
        raise InvalidRequest(f"`{field}` is missing.", param=field)
    check_bounds(schema, field)
    schema = in_newest_form(SchemaMender().mended_answer(schema, field))
    if strict is not False:
        check_references(schema, field)
    reduced = for_answer(schema)
    if strict and not reduced.is_object:
        raise InvalidRequest(
            f"`{field}` must be the schema of an object: wrap what you want in one, "
            "or leave `strict` out.",
            param=field,
        )
    text = _text_of(schema)
    checked = () if strict is False else ((field, text),)
    own = "{}" if strict is False else text
    prompt = (f"The answer is {name}: {description}",) if description else ()
    if reduced.schema is None:
        rule = AnswerRule(_in_words(schema), own)
        return AnswerFormat(rule=rule, checked=checked, prompt=prompt)
    is_held = bool(reduced.left_out) and strict is not False
    return AnswerFormat(
        _text_of(reduced.schema),
        AnswerRule(schema=own) if is_held else None,
        checked,
        tuple(f"{field}.{keyword}" for keyword in reduced.left_out),
        prompt,
    )


def _in_words(schema: dict[str, Any]) -> str:
    words = _JSON_ALONE.format(what="value that matches the JSON Schema below")
    return f"{words}\n\n{_text_of(schema)}"


def _text_of(schema: dict[str, Any]) -> str:
    return msgspec.json.encode(schema).decode()
