"""From clients' dialects of JSON Schema to those that the CLI accepts. Pure.

The CLI drops a tool without a word if it cannot use its schema. Seen on 2.1.331: the
schema of an answer must be draft-07, and an unknown keyword is an error. The schema of
a tool may be of any dialect, but the Messages API accepts neither alternatives nor a
reference in place of the object itself.

All schemas here are mended (see `tool_schemas`), except those whose bounds are checked.
`for_answer` and `for_tool` expect schemas `in_newest_form`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ..errors import InvalidRequest
from .fields import containers_in

Schema = dict[str, Any]

# OpenAI accepts 5,000 properties at 10 levels. Each of those is two levels of JSON.
MOST_PARTS = 100_000
MOST_DEPTH = 100
# Maximum number of times that references and alternatives look at one value.
MOST_LOOKS = 10_000

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    *("additionalProperties", "propertyNames", "contains", "not", "if", "then"),
    *("else", "unevaluatedProperties", "unevaluatedItems", "additionalItems"),
)
_COMBINED = ("anyOf", "oneOf", "allOf")
# Keywords whose schemas look at the value itself, not at a part of it.
_IN_PLACE = (*_COMBINED, "not", "if", "then", "else", "dependentSchemas")

# The keywords that the CLI's validator of answers knows.
_KNOWN = frozenset(
    (
        *("title", "description", "$comment", "format", "default", "examples"),
        *("contentEncoding", "contentMediaType", "readOnly", "writeOnly"),
        *("deprecated", "$defs", "definitions", "$ref", "type", "enum", "const"),
        *("minLength", "maxLength", "pattern", "minimum", "maximum", "multipleOf"),
        *("exclusiveMinimum", "exclusiveMaximum", "items", "minItems", "maxItems"),
        *("uniqueItems", "contains", "properties", "patternProperties", "required"),
        *("additionalProperties", "propertyNames", "minProperties", "maxProperties"),
        *("dependencies", "not", "if", "then", "else", *_COMBINED),
    )
)
# Keywords that restrict the value and that it does not know. Others only describe it.
_NEWER = (
    *("prefixItems", "minContains", "maxContains", "$dynamicRef", "$recursiveRef"),
    *("unevaluatedProperties", "unevaluatedItems", "additionalItems"),
)

# The names of a tool's properties that the Messages API accepts. For an answer with a
# schema the CLI uses a tool as well.
_LEGAL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# All references are within one document, so these change nothing.
_SAYS_WHERE = ("$schema", "$id", "$recursiveAnchor")
_ANCHOR = re.compile(r"#[A-Za-z_][^/]*")

# The patterns that JavaScript (with its flag `u`) and Python read in the same way, and
# that cannot backtrack much, since the CLI cannot be stopped in the middle of one: no
# repeated group, at most one part of any length, and bound to the start.
_PLAIN_PATTERN = re.compile(
    r"(?:[^\\(]|\\[dDwWsSbBnrtfv.*+?^$|(){}\[\]/\\]|\((?:\?(?:[:=!]|<[=!])|(?!\?)))*"
)
_MOST_PATTERN_CHARACTERS = 500
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_ANY_LENGTH = re.compile(r"[*+]|\{\d*,\}|\{\d*,?\d{4,}\}")


@dataclass(frozen=True)
class Reduced:
    """The part of a schema that the CLI accepts; `schema` is None if there is none.

    `left_out`: the keywords that restrict the value and that the CLI does not get.
    `is_object`: whether the schema is for an object.
    """

    schema: Schema | None
    left_out: tuple[str, ...] = ()
    is_object: bool = True


def check_bounds(schema: Schema, path: str) -> None:
    """Raise InvalidRequest, naming the field at `path`, if `schema` is too large."""
    parts = 0
    level: list[Any] = [schema]
    for _ in range(MOST_DEPTH):
        parts += len(level)
        if parts > MOST_PARTS:
            raise _too_much(path, f"has more than {MOST_PARTS} parts: divide it")
        level = [part for whole in level for part in containers_in(whole)]
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
        # Only the checker finds anchors.
        known = not isinstance(reference, str) or _ANCHOR.fullmatch(reference)
        if not known and _found(schema, reference) is None:
            raise InvalidRequest(
                f"`{path}`: `$ref` {reference[:200]!r} leads to nothing in this "
                "schema.",
                param=path,
            )
        waiting += [part for _, part in _parts(part)]


def in_newest_form(schema: Schema) -> Schema:
    """`schema` in the dialect 2020-12, also from OpenAPI's ``nullable``.

    It names no dialect and no address, so all references are within it.
    """
    return _newest(schema, _address(schema))


def _newest(schema: Schema, address: str | None) -> Schema:
    said = {k: v for k, v in schema.items() if k not in _SAYS_WHERE}
    reference = _reference(schema, address)
    if reference is not None:
        said["$ref"] = reference
        if "$ref" not in schema:
            del said["$recursiveRef"]
    for name, needed in said.pop("dependencies", {}).items():
        is_list = isinstance(needed, list)
        keyword = "dependentRequired" if is_list else "dependentSchemas"
        said[keyword] = said.get(keyword, {}) | {name: needed}
    said = _changed(said, lambda part: _newest(part, address))
    if said.pop("nullable", None) is not True:
        return said
    if isinstance(said.get("type"), str):
        said["type"] = [said["type"], "null"]
        if "enum" in said and None not in said["enum"]:
            said["enum"] = [*said["enum"], None]
        return said
    return {"anyOf": [said, {"type": "null"}]} if said else said


def for_answer(schema: Schema) -> Reduced:
    """The part of `schema` that the CLI accepts for an answer.

    None unless it is simply for an object with properties, with names that the API
    accepts.
    """
    root = _without_reference(schema, schema)
    names = root.get("properties", {})
    kind = root.get("type", "object" if names else None)
    # The model calls a tool without properties with an empty object.
    is_object = kind in ("object", ["object"])
    plain = bool(names) and not any(keyword in root for keyword in _COMBINED)
    if not (is_object and plain and all(map(_LEGAL_NAME.fullmatch, names))):
        return Reduced(None, is_object=is_object)
    reduction = _Reduction(schema)
    reduced = reduction.of({**root, "type": "object"})
    return Reduced(reduced, tuple(reduction.left_out))


def for_tool(schema: Schema) -> tuple[Schema, tuple[str, ...]]:
    """The part of `schema` that the API accepts for the arguments of a tool, and the
    keywords that it leaves out."""
    root = _without_reference(schema, schema)
    combined = tuple(keyword for keyword in _COMBINED if keyword in root)
    flat = _flattened(root, schema) if combined else root
    return {**flat, "type": "object"}, combined


class _Reduction:
    """Removes from a schema, with references into `root`, what cannot be used.

    `left_out` has the removed keywords that restricted the value, in order.
    """

    def __init__(self, root: Schema) -> None:
        self.left_out: dict[str, None] = {}
        self._root = root

    def of(self, schema: Schema) -> Schema:
        """The part of `schema` that is left."""
        said = self._with_dependencies(self._with_first_items(schema))
        if isinstance(said.get("enum"), list):
            said["enum"] = list({_text(item): item for item in said["enum"]}.values())
        kept = {k: v for k, v in said.items() if self._keeps(k, v)}
        return _changed(kept, self.of)

    def _keeps(self, keyword: str, value: Any) -> bool:
        usable = keyword in _KNOWN
        if keyword == "$ref":
            usable = _found(self._root, value) is not None
        elif keyword == "enum":
            usable = bool(value)
        elif keyword == "pattern":
            usable = _is_harmless(value)
        elif keyword == "patternProperties":
            usable = all(map(_is_harmless, value))
        if not usable and (keyword in _KNOWN or keyword in _NEWER):
            self.left_out[keyword] = None
        return usable

    def _with_first_items(self, schema: Schema) -> Schema:
        first = schema.get("prefixItems")
        if not first:
            return dict(schema)
        # No keyword for it is known to both the API and the CLI's validator.
        said = {k: v for k, v in schema.items() if k != "prefixItems"}
        self.left_out["prefixItems"] = None
        rest = said.get("items", True)
        if rest is False:
            said["maxItems"] = min(len(first), said.get("maxItems", len(first)))
            said["items"] = {"anyOf": first}
        elif isinstance(rest, dict):
            said["items"] = {"anyOf": [*first, rest]}
        return said

    def _with_dependencies(self, schema: Schema) -> Schema:
        for keyword in ("dependentSchemas", "dependentRequired"):
            for name, needed in schema.pop(keyword, {}).items():
                before = schema.setdefault("dependencies", {})
                if isinstance(before.get(name), dict):
                    needed = {"allOf": [before[name], {"required": needed}]}
                before[name] = needed
        return schema


class _Looks:
    """Counts how often the parts of a schema look at one value."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._address = _address(root)
        self._counts: dict[int, int] = {}

    def are_bearable(self) -> bool:
        """Whether no part looks too often, or refers to itself."""
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
        # Until the count is known, coming back here means a circle.
        self._counts[id(schema)] = MOST_LOOKS + 1
        count = 1
        parts = [part for keyword, part in _parts(schema) if keyword in _IN_PLACE]
        target = _found(self._root, _reference(schema, self._address))
        for part in [*parts, target] if isinstance(target, dict) else parts:
            count = min(count + self._count(part, depth + 1), MOST_LOOKS + 1)
        self._counts[id(schema)] = count
        return count


def _too_much(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{path}`: The schema {what}.", param=path)


def _parts(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas directly inside `schema`, each with its keyword."""
    for keyword, value in schema.items():
        several: Any = ()
        if keyword in _MAPS or keyword == "dependencies":
            several = value.values() if isinstance(value, dict) else ()
        elif keyword in _LISTS or keyword in _SINGLE or keyword == "items":
            several = value if isinstance(value, list) else (value,)
        yield from ((keyword, part) for part in several if isinstance(part, dict))


def _changed(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """`schema` with each schema directly inside it replaced by `change`."""

    def of(part: Any) -> Any:
        """What takes the place of `part`, which need not be a schema."""
        return change(part) if isinstance(part, dict) else part

    changed: Schema = {}
    for keyword, value in schema.items():
        if keyword in _MAPS or keyword == "dependencies":
            changed[keyword] = {name: of(part) for name, part in value.items()}
        elif keyword in _LISTS:
            changed[keyword] = [of(part) for part in value]
        elif keyword in _SINGLE or keyword == "items":
            changed[keyword] = of(value)
        else:
            changed[keyword] = value
    return changed


def _address(root: Schema) -> str | None:
    """The address that `root` gives itself, without a fragment."""
    own = root.get("$id")
    return own.partition("#")[0] if isinstance(own, str) else None


def _reference(schema: Schema, address: str | None) -> str | None:
    """The reference of `schema`, relative to `address`, the address of the root."""
    said = schema.get("$ref")
    if said is None and schema.get("$recursiveRef") == "#":
        return "#"
    if not isinstance(said, str):
        return None
    where, _, fragment = said.partition("#")
    return f"#{fragment}" if where == address else said


def _found(root: Schema, reference: Any) -> Any:
    """The schema that `reference` leads to within `root`; None if there is none."""
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
        elif isinstance(place, list) and step.isdecimal() and len(step) < 7:
            place = place[int(step)] if int(step) < len(place) else None
        else:
            return None
    return place if isinstance(place, dict | bool) else None


def _without_reference(schema: Schema, root: Schema) -> Schema:
    """`schema` with the content of its reference into `root`."""
    said = schema
    for _ in range(MOST_DEPTH):
        target = _found(root, said.get("$ref"))
        if not isinstance(target, dict):
            break
        said = target | {k: v for k, v in said.items() if k != "$ref"}
    return said


def _flattened(schema: Schema, root: Schema) -> Schema:
    """An object's schema with the properties of all its alternatives and parts.

    It matches whatever `schema` does, and more.
    """
    flat = {k: v for k, v in schema.items() if k not in _COMBINED}
    own = schema.get("properties", {})
    others: dict[str, dict[str, Any]] = {}
    required = dict.fromkeys(schema.get("required", []))
    for keyword in _COMBINED:
        branches = [
            _flattened(_without_reference(branch, root), root)
            for branch in schema.get(keyword, [])
            if isinstance(branch, dict)
        ]
        for branch in branches:
            for name, part in branch["properties"].items():
                others.setdefault(name, {})[_text(part)] = part
        needed = [set(branch.get("required", [])) for branch in branches]
        if needed:
            join = set.union if keyword == "allOf" else set.intersection
            required |= dict.fromkeys(sorted(join(*needed)))
    flat["properties"] = {n: _one_of(parts) for n, parts in others.items()} | own
    if required:
        flat["required"] = list(required)
    return flat


def _one_of(by_text: dict[str, Any]) -> Any:
    parts = list(by_text.values())
    return parts[0] if len(parts) == 1 else {"anyOf": parts}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _is_harmless(pattern: str) -> bool:
    """Whether `pattern` is cheap, and the CLI's validator reads it as we do."""
    if len(pattern) > _MOST_PATTERN_CHARACTERS or not _PLAIN_PATTERN.fullmatch(pattern):
        return False
    if not pattern.startswith("^") or _REPEATED_GROUP.search(pattern):
        return False
    if len(_ANY_LENGTH.findall(pattern)) > 1:
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
