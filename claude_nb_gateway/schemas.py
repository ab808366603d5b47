"""JSON schemas that clients send, and what matches them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from .errors import InvalidRequest


def _unchecked(*_: Any) -> Iterator[ValidationError]:
    # Python's `re` cannot be told to give up, and a hostile pattern never ends.
    return iter(())


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _unchecked}
)

# Whether names match these decides what else is checked.
_REGEX_KEYWORD = "patternProperties"


def check_schema(schema: dict[str, Any], path: str) -> None:
    """Raise InvalidRequest, naming the field at `path`, unless `schema` is one.

    It must not refer to other documents, nor have ``patternProperties``.
    """
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join([path, *map(str, error.absolute_path)])
        raise InvalidRequest(f"`{where}`: {error.message}.", param=where) from None
    for keyword, value in _keywords(schema):
        elsewhere = keyword in ("$ref", "$dynamicRef") and not str(value).startswith(
            "#"
        )
        if elsewhere or keyword == _REGEX_KEYWORD:
            raise InvalidRequest(
                f"`{path}`: `{keyword}` of this kind is not supported.", param=path
            )


def mismatch(schema: dict[str, Any], value: Any) -> str:
    """What about `value` does not match `schema`, empty if it does.

    ``pattern`` is not looked at.
    """
    # Without a registry of ours references would be fetched from the network.
    validator = _Validator(schema, registry=Registry())
    try:
        error = next(validator.iter_errors(value), None)
    except Unresolvable as unresolvable:
        return f"{unresolvable.ref} leads nowhere"
    return "" if error is None else f"{error.json_path}: {error.message}"


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        yield from schema.items()
        for value in schema.values():
            yield from _keywords(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _keywords(value)
