"""From the dialects of JSON Schema that clients speak to those the CLI takes. Pure.

The CLI says nothing of a schema that it cannot use: the tool is just not there. Seen on
2.1.331: a tool's schema must be valid in the dialect 2020-12, and one null may take all
tools away; that of an answer must be one of draft-07, and a keyword which that does not
know is a mistake too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import unquote

from .errors import InvalidRequest

Schema = dict[str, Any]

# OpenAI takes 5,000 properties at 10 levels. Each level is two of JSON.
MOST_PARTS = 20_000
MOST_DEPTH = 100
# How often references and alternatives may have one value looked at.
MOST_LOOKS = 10_000

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    *("additionalProperties", "propertyNames", "contains", "not", "if", "then"),
    *("else", "unevaluatedProperties", "unevaluatedItems", "additionalItems"),
)
# What is looked at with the value itself, not with a part of it.
_COMBINED = ("anyOf", "oneOf", "allOf")
_IN_PLACE = (*_COMBINED, "not", "if", "then", "else", "dependentSchemas")

_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
# Not sent on: the schema that is sent is in the CLI's dialect and has no name.
_DROPPED = ("$schema", "$id", "id", "$vocabulary", "nullable")
# What may be null and mean it.
_NULLS = ("default", "const", "example")

# The Messages API takes these as the names of a tool's properties, and the CLI asks for
# an answer with a schema by a tool.
_LEGAL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_ANCHOR = re.compile(r"#[A-Za-z_][^/]*")
_MOST_PATTERN_CHARACTERS = 500

# What JavaScript, with its flag `u`, and Python read alike in a pattern.
_PLAIN_PATTERN = re.compile(
    r"(?:[^\\(]|\\[dDwWsSbBnrtfv.*+?^$|(){}\[\]/\\]|\((?:\?(?:[:=!]|<[=!])|(?!\?)))*"
)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


#: The keywords that only say something of a value, and what they must be.
_ANNOTATIONS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("title", "description", "$comment", "format"), _is_text),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("readOnly", "writeOnly", "deprecated"), _is_bool),
    "default": lambda value: True,
    "examples": _is_list,
    "$defs": _is_map,
    "definitions": _is_map,
}
#: The keywords of draft-07 that bound a value.
_BOUNDS: dict[str, Callable[[Any], bool]] = {
    "type": lambda value: bool(value),
    "enum": lambda value: _is_list(value) and bool(value),
    "const": lambda value: True,
    "pattern": _is_text,
    "$ref": _is_text,
    "required": lambda value: _is_list(value) and all(map(_is_text, value)),
    "uniqueItems": _is_bool,
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("properties", "patternProperties", "dependencies"), _is_map),
    **dict.fromkeys(_COMBINED, lambda value: _is_list(value) and bool(value)),
    **dict.fromkeys(_SINGLE, _is_schema),
    "items": _is_schema,
}
#: Those of later drafts.
_NEW_BOUNDS: dict[str, Callable[[Any], bool]] = {
    "prefixItems": lambda value: _is_list(value) and bool(value),
    **dict.fromkeys(("minContains", "maxContains"), _is_count),
    **dict.fromkeys(("dependentRequired", "dependentSchemas"), _is_map),
    **dict.fromkeys(("$dynamicRef", "$recursiveRef"), _is_text),
}
_ONLY_NEW = (*_NEW_BOUNDS, "unevaluatedProperties", "unevaluatedItems")
_FITS = _ANNOTATIONS | _BOUNDS | _NEW_BOUNDS


@dataclass(frozen=True)
class Reduced:
    """What of a schema the CLI can be given; `schema` is None where it is nothing.

    `left_out` are the keywords that bound a value and cannot be asked for.
    """

    schema: Schema | None
    left_out: tuple[str, ...] = ()


def check_bounds(schema: Schema, path: str) -> None:
    """Raise InvalidRequest, naming the field at `path`, if `schema` is too much."""
    parts = 0
    level: list[Any] = [schema]
    for _ in range(MOST_DEPTH):
        parts += len(level)
        if parts > MOST_PARTS:
            raise _too_much(path, f"has more than {MOST_PARTS} parts: divide it")
        level = [part for whole in level for part in _containers(whole)]
        if not level:
            break
    else:
        raise _too_much(path, f"is nested deeper than {MOST_DEPTH} levels: flatten it")
    if not _Looks(schema).are_bearable():
        raise _too_much(
            path,
            "leads from one value to too many others by `$ref`, `allOf`, `anyOf` or "
            "`oneOf`: simplify it",
        )


def check_references(schema: Schema, path: str) -> None:
    """Raise InvalidRequest, naming the field at `path`, if a ``$ref`` leads nowhere.

    Other documents are not fetched.
    """
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        reference = part.get("$ref", "#")
        # An anchor is found by the checker alone.
        known = not isinstance(reference, str) or _ANCHOR.fullmatch(reference)
        if not known and _found(schema, reference) is None:
            raise InvalidRequest(
                f"`{path}`: `$ref` {reference[:200]!r} leads to nothing in this "
                "schema.",
                param=path,
            )
        waiting += [part for _, part in _parts(part)]


def normalized(schema: Schema) -> Schema:
    """The schema that is meant: without nulls, which generators leave in, and with
    OpenAPI's ``nullable`` said in the words of JSON Schema."""
    meant = {k: v for k, v in schema.items() if v is not None or k in _NULLS}
    meant = _changed(meant, normalized)
    if meant.pop("nullable", None) is not True:
        return meant
    if isinstance(meant.get("type"), str):
        meant["type"] = [meant["type"], "null"]
        if isinstance(meant.get("enum"), list) and None not in meant["enum"]:
            meant["enum"] = [*meant["enum"], None]
        return meant
    return {"anyOf": [meant, {"type": "null"}]} if meant else meant


def for_answer(schema: Schema) -> Reduced:
    """What the CLI takes of a `normalized` schema as that of an answer.

    None where it is not simply that of an object with properties, of names that the API
    takes.
    """
    root = _without_reference(schema, schema)
    root = {"type": "object", **root} if "properties" in root else root
    names = root.get("properties")
    odd = not all(map(_LEGAL_NAME.fullmatch, names if isinstance(names, dict) else ()))
    plain = root.get("type") in ("object", ["object"]) and not odd
    # A tool without properties is answered by an empty object.
    if not plain or not names or any(keyword in root for keyword in _COMBINED):
        return Reduced(None)
    return _Reduction(schema, for_tool=False).of({**root, "type": "object"})


def for_tool(schema: Schema) -> Reduced:
    """What the CLI takes of a `normalized` schema as that of a tool's arguments.

    None where it is not that of an object.
    """
    root = _without_reference(schema, schema)
    kind = root.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        return Reduced(None)
    combined = [k for k in _COMBINED if k in root]
    flat = _flattened(root, schema) if combined else root
    reduced = _Reduction(schema, for_tool=True).of({**flat, "type": "object"})
    return Reduced(reduced.schema, (*combined, *reduced.left_out))


class _Reduction:
    """Takes out of one schema, whose references are to `root`, what cannot be used."""

    def __init__(self, root: Schema, *, for_tool: bool) -> None:
        self._root = root
        self._for_tool = for_tool
        self._left_out: dict[str, None] = {}

    def of(self, schema: Schema) -> Reduced:
        """The whole of it."""
        return Reduced(self._one(schema), tuple(self._left_out))

    def _one(self, schema: Schema) -> Schema:
        said = _with_draft_7_limits(schema)
        said = self._with_items(said)
        if not self._for_tool:
            said = _with_dependencies(said)
        kept = {k: v for k, v in said.items() if self._keeps(k, v)}
        return _changed(_tidied(kept), self._one)

    def _keeps(self, keyword: str, value: Any) -> bool:
        if keyword in _DROPPED:
            return False
        fits = _FITS.get(keyword)
        if fits is None:
            return self._for_tool  # the model may make something of it
        usable = fits(value) and self._is_usable(keyword, value)
        if not usable and keyword not in _ANNOTATIONS:
            self._left_out[keyword] = None
        return usable

    def _is_usable(self, keyword: str, value: Any) -> bool:
        if keyword == "$ref":
            return _found(self._root, value) is not None
        if keyword == "type":
            return _types(value) == _listed(value)
        if self._for_tool:
            return True
        if keyword == "pattern":
            return _reads_alike(value)
        if keyword == "patternProperties":
            return all(map(_reads_alike, value))
        return keyword not in _ONLY_NEW

    def _with_items(self, schema: Schema) -> Schema:
        """With the schemas of the first items said as the target knows them."""
        said = dict(schema)
        if isinstance(said.get("items"), list):
            said["prefixItems"] = said.pop("items")
            if "additionalItems" in said:
                said["items"] = said.pop("additionalItems")
        first = said.get("prefixItems")
        if self._for_tool or not isinstance(first, list) or not first:
            return said
        # The API's dialect has no word for it that the CLI's validator knows.
        del said["prefixItems"]
        self._left_out["prefixItems"] = None
        rest = said.get("items", True)
        if rest is False:
            said["maxItems"] = min(len(first), said.get("maxItems", len(first)))
            said["items"] = {"anyOf": first}
        elif isinstance(rest, dict):
            said["items"] = {"anyOf": [*first, rest]}
        return said


class _Looks:
    """How often one value is looked at by the parts of a schema."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._counts: dict[int, int] = {}

    def are_bearable(self) -> bool:
        """Whether no part asks for too many, or for itself."""
        waiting = [self._root]
        while waiting:
            schema = waiting.pop()
            if self._count(schema, 0) > MOST_LOOKS:
                return False
            waiting += [part for _, part in _parts(schema)]
        return True

    def _count(self, schema: Schema, depth: int) -> int:
        known = self._counts.get(id(schema))
        if known is not None:
            return known
        if depth > MOST_DEPTH:
            return MOST_LOOKS + 1
        # Until it is known, whoever comes back to it has gone round in a circle.
        self._counts[id(schema)] = MOST_LOOKS + 1
        count = 1
        target = _found(self._root, schema.get("$ref"))
        parts = (part for keyword, part in _parts(schema) if keyword in _IN_PLACE)
        for part in chain(parts, [target] if isinstance(target, dict) else []):
            count = min(count + self._count(part, depth + 1), MOST_LOOKS + 1)
        self._counts[id(schema)] = count
        return count


def _too_much(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{path}`: The schema {what}.", param=path)


def _containers(value: Any) -> Iterator[Any]:
    parts = value.values() if isinstance(value, dict) else value
    return (part for part in parts if isinstance(part, dict | list) and part)


def _parts(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas right within `schema`, each with its keyword."""
    for keyword, value in schema.items():
        several: Any = ()
        if keyword in _MAPS or keyword == "dependencies":
            several = _map_of(value).values()
        elif keyword in (*_LISTS, *_SINGLE, "items"):
            several = _listed(value)
        yield from ((keyword, part) for part in several if isinstance(part, dict))


def _changed(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """`schema` with each schema right within it replaced by what `change` makes."""

    def of(part: Any) -> Any:
        if part is None:
            return {}
        return change(part) if isinstance(part, dict) else part

    changed: Schema = {}
    for keyword, value in schema.items():
        is_map = keyword in _MAPS or keyword == "dependencies"
        if is_map and isinstance(value, dict):
            changed[keyword] = {name: of(part) for name, part in value.items()}
        elif keyword in (*_LISTS, "items") and isinstance(value, list):
            changed[keyword] = [of(part) for part in value]
        elif keyword in (*_SINGLE, "items"):
            changed[keyword] = of(value)
        else:
            changed[keyword] = value
    return changed


def _found(root: Schema, reference: Any) -> Any:
    """What `reference` leads to within `root`: a schema, or None."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    pointer = unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        return None  # by the name of an anchor
    place: Any = root
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, dict):
            place = place.get(step)
        elif isinstance(place, list) and step.isdecimal() and int(step) < len(place):
            place = place[int(step)]
        else:
            return None
    return place if _is_schema(place) else None


def _without_reference(schema: Schema, root: Schema) -> Schema:
    """The same schema, which says itself what it now refers to in `root`."""
    said = schema
    for _ in range(MOST_DEPTH):
        target = _found(root, said.get("$ref"))
        if not isinstance(target, dict):
            break
        said = target | {k: v for k, v in said.items() if k != "$ref"}
    return said


def _flattened(schema: Schema, root: Schema, depth: int = 0) -> Schema:
    """An object's schema with the properties of all its alternatives and parts.

    It matches whatever `schema` does, and more.
    """
    flat = {k: v for k, v in schema.items() if k not in _COMBINED}
    flat["properties"] = dict(_map_of(schema.get("properties")))
    required = dict.fromkeys(filter(_is_text, _listed(schema.get("required", []))))
    for keyword in _COMBINED:
        branches = [
            _flattened(_without_reference(branch, root), root, depth + 1)
            for branch in _listed(schema.get(keyword, []))
            if isinstance(branch, dict) and depth < MOST_DEPTH
        ]
        for branch in branches:
            for name, part in branch["properties"].items():
                _add_alternative(flat["properties"], name, part)
        needed = [set(branch.get("required", [])) for branch in branches]
        if needed:
            join = set.union if keyword == "allOf" else set.intersection
            required |= dict.fromkeys(sorted(join(*needed)))
    if required:
        flat["required"] = list(required)
    return flat


def _add_alternative(properties: Schema, name: str, part: Any) -> None:
    before = properties.setdefault(name, part)
    if before == part:
        return
    if isinstance(before, dict) and list(before) == ["anyOf"]:
        if part not in before["anyOf"]:
            properties[name] = {"anyOf": [*before["anyOf"], part]}
    else:
        properties[name] = {"anyOf": [before, part]}


def _with_draft_7_limits(schema: Schema) -> Schema:
    """With draft-04's exclusive limits said as later drafts do."""
    said = dict(schema)
    for exclusive, limit in (
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ):
        if not isinstance(said.get(exclusive), bool):
            continue
        if said.pop(exclusive) and limit in said:
            said[exclusive] = said.pop(limit)
    return said


def _with_dependencies(schema: Schema) -> Schema:
    """With what depends on a property said as draft-07 does."""
    said = dict(schema)
    for keyword in ("dependentRequired", "dependentSchemas"):
        if isinstance(said.get(keyword), dict):
            before = _map_of(said.get("dependencies"))
            said["dependencies"] = said.pop(keyword) | before
    return said


def _tidied(schema: Schema) -> Schema:
    """Without anything said twice in a list, which is a mistake to the CLI."""
    for keyword in ("required", "enum", "type"):
        value = schema.get(keyword)
        if isinstance(value, list):
            by_text = {json.dumps(item, sort_keys=True): item for item in value}
            schema[keyword] = list(by_text.values())
    return schema


def _types(value: Any) -> list[Any]:
    return [kind for kind in _listed(value) if kind in _TYPES]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _map_of(value: Any) -> Schema:
    return value if isinstance(value, dict) else {}


def _reads_alike(pattern: str) -> bool:
    """Whether JavaScript and Python take `pattern` for the same."""
    if len(pattern) > _MOST_PATTERN_CHARACTERS or not _PLAIN_PATTERN.fullmatch(pattern):
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
