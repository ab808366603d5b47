"""Replace property names that the Messages API refuses. Pure.

The API checks the names of a tool's top-level properties, not of nested ones. If the
API would refuse a tool, the CLI leaves it out without an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from .protocol import (
    Assistant,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Delta,
    Json,
    Message,
    MessageStart,
    StreamEvent,
)

#: Pairs of the client's name of a property and the name that the model sees.
Renamed = tuple[tuple[str, str], ...]

_LEGAL = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEPT_CHARACTERS = 50

# Schemas under these keywords apply to the same object: its properties have the same
# names.
_SAME_OBJECT = ("if", "then", "else", "not")
_LISTS_SAME_OBJECT = ("allOf", "anyOf", "oneOf")
_KEYED_BY_PROPERTY = (
    "properties",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
)

_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])


def with_legal_names(schema: Json) -> tuple[Json, Renamed]:
    """`schema` with names that the API accepts, and the names that were replaced."""
    renamed = tuple(
        (name, _legal(name))
        for name in schema.get("properties", {})
        if not _LEGAL.fullmatch(name)
    )
    if not renamed:
        return schema, ()
    names = dict(renamed)
    legal = _with_references(_with_names(schema, names), names)
    for name, shown in renamed:
        prop = legal["properties"][shown]
        if isinstance(prop, dict):
            about = f"Its own name is {name!r}. {prop.get('description', '')}"
            legal["properties"][shown] = {**prop, "description": about.strip()}
    return legal, renamed


def _legal(name: str) -> str:
    mark = hashlib.blake2b(name.encode(errors="replace"), digest_size=4).hexdigest()
    kept = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_KEPT_CHARACTERS].strip("_")
    return f"{kept or 'property'}_{mark}"


def _with_names(schema: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(schema, dict):
        return schema
    legal = dict(schema)
    for keyword in _KEYED_BY_PROPERTY:
        if isinstance(schema.get(keyword), dict):
            legal[keyword] = with_keys(schema[keyword], names)
    if isinstance(schema.get("required"), list):
        legal["required"] = _renamed_texts(schema["required"], names)
    for name, others in legal.get("dependentRequired", {}).items():
        legal["dependentRequired"][name] = _renamed_texts(others, names)
    for keyword in _SAME_OBJECT:
        if keyword in schema:
            legal[keyword] = _with_names(schema[keyword], names)
    for keyword in _LISTS_SAME_OBJECT:
        if isinstance(schema.get(keyword), list):
            legal[keyword] = [_with_names(part, names) for part in schema[keyword]]
    for keyword in ("const", "default"):
        if isinstance(schema.get(keyword), dict):
            legal[keyword] = with_keys(schema[keyword], names)
    return legal


def _renamed_texts(texts: Iterable[str], names: Mapping[str, str]) -> list[str]:
    return [names.get(text, text) for text in texts]


def _with_references(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_references(inner, names) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_references(inner, names) for key, inner in value.items()}
    target = value.get("$ref")
    if isinstance(target, str) and target.startswith("#/properties/"):
        root, properties, name, *rest = target.split("/")
        name = name.replace("~1", "/").replace("~0", "~")
        found["$ref"] = "/".join([root, properties, names.get(name, name), *rest])
    return found


def with_keys(value: Mapping[str, Any], names: Mapping[str, str]) -> Json:
    """`value` with its keys replaced according to `names`; other keys are kept."""
    return {names.get(key, key): inner for key, inner in value.items()}


@dataclass
class _Held:
    """A call whose arguments are held back until they are complete."""

    names: Mapping[str, str]
    fragments: list[str] = field(default_factory=list)


class CallTranslator:
    """Translates arguments of calls between the client's and the model's names.

    Parameters
    ----------
    renamed:
        The renamed properties of each tool, by the CLI's name of the tool.
    """

    def __init__(self, renamed: Mapping[str, Renamed]) -> None:
        self._to_model = {tool: dict(pairs) for tool, pairs in renamed.items() if pairs}
        self._to_client = {
            tool: {shown: name for name, shown in names.items()}
            for tool, names in self._to_model.items()
        }
        self._held: dict[int, _Held] = {}

    def for_model(self, blocks: list[Json]) -> list[Json]:
        """The `blocks` of a turn, with the model's names in the calls."""
        return [_call_with(block, self._to_model) for block in blocks]

    def for_client(self, batch: list[Message]) -> list[Message]:
        """The messages that can be sent now, with the client's names in the calls.

        The arguments of a tool with renamed properties are held back until they are
        complete.
        """
        if not self._to_client:
            return batch
        return [result for message in batch for result in self._translated(message)]

    def _translated(self, message: Message) -> list[Message]:
        if isinstance(message, Assistant):
            blocks = [_call_with(b, self._to_client) for b in message.message.content]
            return [replace(message, message=replace(message.message, content=blocks))]
        if not isinstance(message, StreamEvent) or message.parent_tool_use_id:
            return [message]
        event = message.event
        if isinstance(event, MessageStart):
            self._held.clear()
        elif isinstance(event, ContentBlockStart):
            names = self._to_client.get(event.content_block.get("name", ""))
            if names is not None:
                self._held[event.index] = _Held(names)
        elif isinstance(event, ContentBlockDelta) and event.index in self._held:
            self._held[event.index].fragments.append(event.delta.partial_json)
            return []
        elif isinstance(event, ContentBlockStop) and event.index in self._held:
            arguments = _complete_arguments(self._held.pop(event.index))
            if arguments:
                delta = Delta("input_json_delta", partial_json=arguments)
                return [StreamEvent(ContentBlockDelta(event.index, delta)), message]
        return [message]


def _call_with(block: Json, names: Mapping[str, Mapping[str, str]]) -> Json:
    if block["type"] != "tool_use" or block["name"] not in names:
        return block
    return {**block, "input": with_keys(block["input"], names[block["name"]])}


def _complete_arguments(held: _Held) -> str:
    text = "".join(held.fragments)
    try:
        arguments = _arguments.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text  # truncated, or not an object: the client decides what to do
    return msgspec.json.encode(with_keys(arguments, held.names)).decode()
