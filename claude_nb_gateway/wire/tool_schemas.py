"""Mends the JSON schemas of clients, so that the CLI and the API accept them. Pure.

The CLI drops a tool, or all tools, without a word if it does not accept a schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import InvalidRequest, quoted

Json = dict[str, Any]

# No well-meaning client sends more, and each part takes time.
MOST_SUBSCHEMAS = 50_000
MOST_LEVELS = 100

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_SCHEMAS = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "else",
    "if",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_TEXTS = ("$comment", "$id", "$ref", "description", "format", "pattern", "title")
_FLAGS = ("deprecated", "readOnly", "uniqueItems", "writeOnly")
_COUNTS = (
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
)
_EXCLUSIVE = {"exclusiveMaximum": "maximum", "exclusiveMinimum": "minimum"}


class SchemaMender:
    """Mends the schemas of one request, or refuses them and names the field.

    It mends only what has one clear meaning: null for a missing value, an empty array
    for an empty object, and the older forms of `items`, `required` and
    `exclusiveMinimum`.
    """

    def __init__(self) -> None:
        self._left = MOST_SUBSCHEMAS
        self._path: list[str] = []
        self._levels = 0
        self._whose = ""

    def mended(self, schema: Json, tool: str, path: str) -> Json:
        """The mended `schema` of the tool `tool`, which the request has at `path`.

        Raises
        ------
        InvalidRequest
            It is no schema and its meaning is not clear, or it is too large.
        """
        self._begin(path, f", of the tool {quoted(tool)}")
        kind = schema.get("type")
        if isinstance(kind, list) and "object" in kind:
            kind = "object"
        if kind not in (None, "object"):
            self._refuse("must be the schema of an object")
        mended: Json = self._schema({**schema, "type": "object"})
        return mended

    def mended_answer(self, schema: Json, path: str) -> Json:
        """The mended `schema` of an answer, which the request has at `path`.

        Raises
        ------
        InvalidRequest
            See `mended`.
        """
        self._begin(path, "")
        mended: Json = self._schema(schema)
        return mended

    def _begin(self, path: str, whose: str) -> None:
        self._whose, self._path, self._levels = whose, [path], 0

    def _schema(self, value: Any) -> Any:
        self._left -= 1
        self._levels += 1
        if self._left < 0:
            self._refuse(
                f"the schemas have more than {MOST_SUBSCHEMAS} parts: send fewer"
            )
        if self._levels > MOST_LEVELS:
            self._refuse(f"nested more than {MOST_LEVELS} levels deep: flatten it")
        mended = self._mended(value)
        self._levels -= 1
        return mended

    def _mended(self, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if value == []:
            return {}
        if not isinstance(value, dict):
            self._refuse("must be a schema, which is an object")
        schema: Json = {}
        for keyword, said in value.items():
            mend = _KEYWORDS.get(keyword)
            if mend is None:
                schema[keyword] = said
            elif said is not None:
                with self._at(f".{keyword}"):
                    schema[keyword] = mend(self, said)
        if needed := _required_of_old(value.get("properties")):
            needed = [*schema.get("required", []), *needed]
            schema["required"] = list(dict.fromkeys(needed))
        return _in_newer_form(schema)

    @contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._path.append(step)
        yield
        self._path.pop()

    def _refuse(self, wrong: str) -> Any:
        where = "".join(self._path)
        raise InvalidRequest(f"`{where}`{self._whose}: {wrong}.", param=where)

    def _by_name(self, value: Any) -> Json:
        if value == []:
            return {}
        if not isinstance(value, dict):
            self._refuse("must be an object")
        schemas = {}
        for name, schema in value.items():
            with self._at(f".{name}"):
                schemas[name] = self._schema({} if schema is None else schema)
        return schemas

    def _schemas(self, value: Any) -> list[Any]:
        return [self._at_index(i, self._schema, v) for i, v in self._items(value)]

    def _items_keyword(self, value: Any) -> Any:
        # An array means what is `prefixItems` today; see `_in_newer_form`.
        if isinstance(value, list) and value:
            return self._schemas(value)
        return self._schema(value)

    def _required(self, value: Any) -> Any:
        if isinstance(value, bool) or value == {}:
            return []  # the object around it lists it
        return self._texts([value] if isinstance(value, str) else value)

    def _texts(self, value: Any) -> list[str]:
        texts = [self._at_index(i, self._text, v) for i, v in self._items(value)]
        return list(dict.fromkeys(texts))

    def _texts_by_name(self, value: Any) -> Json:
        if not isinstance(value, dict):
            self._refuse("must be an object")
        found = {}
        for name, texts in value.items():
            with self._at(f".{name}"):
                found[name] = self._texts(texts)
        return found

    def _dependencies(self, value: Any) -> Json:
        if not isinstance(value, dict):
            self._refuse("must be an object")
        found = {}
        for name, either in value.items():
            with self._at(f".{name}"):
                mend = self._texts if isinstance(either, list) else self._schema
                found[name] = mend(either)
        return found

    def _type(self, value: Any) -> Any:
        kinds = value if isinstance(value, list) and value else [value]
        if not all(isinstance(kind, str) and kind in TYPES for kind in kinds):
            self._refuse(f"must be one of {', '.join(TYPES)}")
        return list(dict.fromkeys(kinds)) if isinstance(value, list) else value

    def _items(self, value: Any) -> Iterable[tuple[int, Any]]:
        if not isinstance(value, list):
            self._refuse("must be an array")
        return enumerate(value)

    def _at_index(self, index: int, mend: Callable[[Any], Any], value: Any) -> Any:
        with self._at(f"[{index}]"):
            return mend(value)

    def _list(self, value: Any) -> Any:
        return value if isinstance(value, list) else self._refuse("must be an array")

    def _text(self, value: Any) -> Any:
        return value if isinstance(value, str) else self._refuse("must be text")

    def _flag(self, value: Any) -> Any:
        known = isinstance(value, bool)
        return value if known else self._refuse("must be true or false")

    def _number(self, value: Any) -> Any:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return value if known else self._refuse("must be a number")

    def _limit(self, value: Any) -> Any:
        return value if isinstance(value, bool) else self._number(value)

    def _count(self, value: Any) -> Any:
        if self._number(value) < 0 or value != int(value):
            self._refuse("must be a whole number, 0 or more")
        return int(value)


_KEYWORDS: dict[str, Callable[[SchemaMender, Any], Any]] = {
    **dict.fromkeys((*_BY_NAME, "dependentSchemas"), SchemaMender._by_name),
    **dict.fromkeys(_SCHEMAS, SchemaMender._schema),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), SchemaMender._schemas),
    **dict.fromkeys(_TEXTS, SchemaMender._text),
    **dict.fromkeys(_FLAGS, SchemaMender._flag),
    **dict.fromkeys(_COUNTS, SchemaMender._count),
    **dict.fromkeys(_EXCLUSIVE, SchemaMender._limit),
    **dict.fromkeys(("maximum", "minimum", "multipleOf"), SchemaMender._number),
    **dict.fromkeys(("enum", "examples"), SchemaMender._list),
    "items": SchemaMender._items_keyword,
    "required": SchemaMender._required,
    "type": SchemaMender._type,
    "dependentRequired": SchemaMender._texts_by_name,
    "dependencies": SchemaMender._dependencies,
}


def _required_of_old(properties: Any) -> list[str]:
    """The properties that mark themselves as required, as in draft-03."""
    if not isinstance(properties, dict):
        return []
    return [
        name
        for name, schema in properties.items()
        if isinstance(schema, dict) and schema.get("required") is True
    ]


def _in_newer_form(schema: Json) -> Json:
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
    for exclusive, limit in _EXCLUSIVE.items():
        if isinstance(schema.get(exclusive), bool):
            is_exclusive = schema.pop(exclusive)
            if is_exclusive and limit in schema:
                schema[exclusive] = schema.pop(limit)
    return schema
