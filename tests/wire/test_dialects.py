"""Dialects of JSON Schema, as generators write them, and what the real CLI takes."""

from __future__ import annotations

import json

import pytest

from claude_nb_gateway.claude_code import protocol
from claude_nb_gateway.claude_code.tools import PREFIX
from claude_nb_gateway.claude_code.turns import Conversation, Setup, Tool, Turn
from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire import dialects
from claude_nb_gateway.wire.tool_schemas import SchemaMender

TEXT = {"type": "string"}
CAT = {
    "type": "object",
    "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
    "required": ["kind", "lives"],
}
DOG = {
    "type": "object",
    "properties": {"kind": {"const": "dog"}, "name": TEXT},
    "required": ["kind"],
}
PETS = {"Cat": CAT, "Dog": DOG}
EITHER = [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]
MAPPING = {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}


def an_object(name="a", schema=TEXT, **more):
    """The schema of an object with one property."""
    return {"type": "object", "properties": {name: schema}, "required": [name], **more}


#: What is nothing but another way to say it, or says no more than a hint.
SAID_OTHERWISE = {
    "zod 4": an_object(
        additionalProperties=False,
        **{"$schema": "https://json-schema.org/draft/2020-12/schema"},
    ),
    "zod 3": an_object(**{"$schema": "http://json-schema.org/draft-07/schema#"}),
    "2019-09": an_object(
        **{"$schema": "https://json-schema.org/draft/2019-09/schema#"}
    ),
    "draft-04": an_object(
        schema={"type": "number", "minimum": 0, "exclusiveMinimum": True},
        id="https://example.com/a",
        **{"$schema": "http://json-schema.org/draft-04/schema#"},
    ),
    "identifier": an_object(**{"$id": "https://example.com/a.json"}),
    "recursive of 2019-09": an_object(
        schema={"type": "array", "items": {"$recursiveRef": "#"}},
        **{
            "$schema": "https://json-schema.org/draft/2019-09/schema",
            "$recursiveAnchor": True,
        },
    ),
    "reference by the identifier": an_object(
        schema={"$ref": "https://example.com/s.json#/$defs/Cat"},
        **{"$id": "https://example.com/s.json", "$defs": PETS},
    ),
    "openapi example": an_object(schema={**TEXT, "example": "x"}),
    "openapi nullable": an_object(schema={**TEXT, "nullable": True}),
    "openapi extension": an_object(**{"x-order": ["a"], "x-null": None}),
    "openapi externalDocs": an_object(externalDocs={"url": "https://example.com"}),
    "openapi xml": an_object(schema={**TEXT, "xml": {"name": "a"}}),
    "pydantic union": an_object(
        schema={
            "oneOf": EITHER,
            "discriminator": {"propertyName": "kind", "mapping": MAPPING},
        },
        **{"$defs": PETS},
    ),
    "pydantic optional": an_object(
        schema={"anyOf": [TEXT, {"type": "null"}], "default": None, "title": "A"}
    ),
    "pydantic enum": an_object(schema={"enum": ["x", "y", "x"], "type": "string"}),
    "pydantic recursive": an_object(
        schema={"$ref": "#/$defs/Node"},
        **{"$defs": {"Node": an_object("next", {"$ref": "#/$defs/Node"})}},
    ),
    "root reference": {"$ref": "#/$defs/Cat", "$defs": PETS},
    "root definitions": {"$ref": "#/definitions/Cat", "definitions": PETS},
    "root reference to itself": {
        "$ref": "#/$defs/Node",
        "$defs": {"Node": an_object("next", {"$ref": "#"})},
    },
    "no root type": {"properties": {"a": TEXT}, "required": ["a"]},
    "nulls": an_object(
        schema={**TEXT, "enum": None, "description": None}, description=None
    ),
    "dependentRequired": an_object(dependentRequired={"a": ["b"]}),
    "dependentSchemas": an_object(dependentSchemas={"a": {"required": ["b"]}}),
    "contentSchema": an_object(
        schema={**TEXT, "contentMediaType": "application/json", "contentSchema": {}}
    ),
    "strict inside": an_object(strict=True),
    "pattern": an_object(schema={**TEXT, "pattern": r"^\d{4}-\d\d-\d\d [a-z.]+$"}),
    "editor's hints": an_object(schema={**TEXT, "markdownDescription": "*x*"}),
    "required of old": {
        "type": "object",
        "properties": {"a": {**TEXT, "required": True}},
    },
}
#: What has a part that the CLI cannot be asked for, and which.
WITH_MORE = {
    "zod tuple": (
        an_object(schema={"type": "array", "prefixItems": [TEXT, CAT], "items": False}),
        "prefixItems",
    ),
    "tuple of old": (
        an_object(schema={"type": "array", "items": [TEXT], "additionalItems": CAT}),
        "prefixItems",
    ),
    "unevaluated": (
        an_object(unevaluatedProperties=False),
        "unevaluatedProperties",
    ),
    "minContains": (
        an_object(schema={"type": "array", "contains": TEXT, "minContains": 2}),
        "minContains",
    ),
    "anchor": (
        an_object(schema={"$ref": "#c"}, **{"$defs": {"C": {"$anchor": "c"}}}),
        "$ref",
    ),
    "dynamic": (an_object(schema={"$dynamicRef": "#a"}), "$dynamicRef"),
    "pattern of JavaScript": (
        an_object(schema={**TEXT, "pattern": r"^\p{Lu}$"}),
        "pattern",
    ),
    "pattern of Python": (
        an_object(schema={**TEXT, "pattern": r"(?P<x>a)"}),
        "pattern",
    ),
    "pattern that is none": (an_object(schema={**TEXT, "pattern": "^("}), "pattern"),
    "pattern that backtracks": (
        an_object(schema={**TEXT, "pattern": "^(a+)+$"}),
        "pattern",
    ),
    "names that backtrack": (
        an_object(patternProperties={"^a*b*c*$": TEXT}),
        "patternProperties",
    ),
}
#: What is not simply an object with properties.
NO_PLAIN_OBJECT = {
    "array": {"type": "array", "items": TEXT},
    "text": TEXT,
    "anything": {},
    "union": {"oneOf": EITHER, "$defs": PETS, "discriminator": {"propertyName": "k"}},
    "union of an object": {**an_object(), "anyOf": [{"required": ["a"]}, {}]},
    "parts": {"allOf": [CAT, an_object()]},
    "map": {"type": "object", "additionalProperties": TEXT},
    "odd name": an_object("$filter"),
    "long name": an_object("x" * 65),
}


def meant(schema):
    return dialects.in_newest_form(SchemaMender().mended_answer(schema, "p"))


@pytest.mark.parametrize("name", SAID_OTHERWISE)
def test_other_words_are_understood(name):
    reduced = dialects.for_answer(meant(SAID_OTHERWISE[name]))
    assert reduced.schema["type"] == "object"
    assert not reduced.left_out


@pytest.mark.parametrize("name", WITH_MORE)
def test_what_cannot_be_asked_for_is_named(name):
    schema, keyword = WITH_MORE[name]
    assert dialects.for_answer(meant(schema)).left_out == (keyword,)


@pytest.mark.parametrize("name", NO_PLAIN_OBJECT)
def test_what_is_no_plain_object_is_no_schema_of_the_cli(name):
    assert dialects.for_answer(meant(NO_PLAIN_OBJECT[name])).schema is None


def test_null_is_one_of_the_values_of_a_nullable():
    assert meant({"type": "string", "enum": ["a"], "nullable": True}) == {
        "type": ["string", "null"],
        "enum": ["a", None],
    }
    assert meant({"$ref": "#/$defs/A", "nullable": True}) == {
        "anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]
    }


def test_older_dialects_are_said_in_the_newest():
    old = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "dependencies": {"a": ["b"], "b": {"nullable": True, "type": "string"}},
    }
    assert meant(old) == {
        "dependentRequired": {"a": ["b"]},
        "dependentSchemas": {"b": {"type": ["string", "null"]}},
    }


def test_references_to_the_whole_are_said_within_it():
    address = "https://example.com/s.json"
    whole = {
        "$id": address,
        "$recursiveAnchor": True,
        "properties": {
            "a": {"$recursiveRef": "#"},
            "b": {"$ref": f"{address}#/$defs/B"},
            "c": {"$ref": address},
            "d": {"$ref": "https://example.com/other.json"},
        },
        "$defs": {"B": TEXT},
    }
    said = meant(whole)
    assert said.keys() == {"properties", "$defs"}
    references = [part["$ref"] for part in said["properties"].values()]
    assert references == ["#", "#/$defs/B", "#", "https://example.com/other.json"]


@pytest.mark.parametrize(
    "part", [{"$recursiveRef": "#"}, {"$ref": "a.json"}, {"$ref": "a.json#"}]
)
def test_a_whole_that_asks_for_itself_is_too_much(part):
    with pytest.raises(InvalidRequest, match="simplify"):
        dialects.check_bounds({"$id": "a.json", "allOf": [part]}, "p")


def test_both_kinds_of_dependencies_reach_the_cli():
    schema = an_object(dependentRequired={"a": ["b"]}, dependentSchemas={"a": CAT})
    assert dialects.for_answer(schema).schema["dependencies"] == {
        "a": {"allOf": [CAT, {"required": ["b"]}]}
    }


def test_tuple_becomes_a_list_of_any_of_its_items():
    schema = {"type": "array", "prefixItems": [TEXT, CAT], "items": False}
    reduced = dialects.for_answer(meant(an_object(schema=schema))).schema
    assert reduced["properties"]["a"] == {
        "type": "array",
        "items": {"anyOf": [TEXT, CAT]},
        "maxItems": 2,
    }


def test_alternatives_of_a_tool_become_one_object():
    schema = {"type": "object", "oneOf": EITHER, "$defs": PETS}
    flat, left_out = dialects.for_tool(schema)
    assert left_out == ("oneOf",)
    assert flat["required"] == ["kind"]
    assert flat["properties"] == {
        "kind": {"anyOf": [{"const": "cat"}, {"const": "dog"}]},
        "lives": {"type": "integer"},
        "name": TEXT,
    }


def test_parts_of_a_tool_become_one_object():
    flat, _ = dialects.for_tool({"allOf": [CAT, an_object()], "type": "object"})
    assert flat["required"] == ["a", "kind", "lives"]
    assert set(flat["properties"]) == {"a", "kind", "lives"}


def nested(levels):
    schema = TEXT
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def nested_references(depth):
    """A schema of which each reference leads to two more."""
    definitions = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
        for level in range(depth)
    }
    return {"$ref": "#/$defs/d0", "$defs": definitions | {f"d{depth}": TEXT}}


@pytest.mark.parametrize(
    "schema",
    [
        nested(200),
        {"default": json.loads("[" * 500 + "]" * 500)},
        {"enum": [[]] * 3 + [["x"]] * dialects.MOST_PARTS},
        nested_references(40),
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"not": {"$ref": "#"}}}},
    ],
    ids=["deep", "deep value", "wide", "doubled", "itself", "circle"],
)
def test_what_is_too_much_is_refused(schema):
    with pytest.raises(InvalidRequest, match="`p`: The schema") as error:
        dialects.check_bounds(schema, "p")
    assert error.value.param == "p"


@pytest.mark.parametrize("name", [*SAID_OTHERWISE, *NO_PLAIN_OBJECT])
def test_what_people_send_is_not_too_much(name):
    dialects.check_bounds((SAID_OTHERWISE | NO_PLAIN_OBJECT)[name], "p")


@pytest.mark.parametrize("reference", ["#/$defs/B", "other.json", "#/properties/1"])
def test_reference_that_leads_nowhere_is_refused(reference):
    schema = an_object(schema={"$ref": reference})
    with pytest.raises(InvalidRequest, match="leads to nothing"):
        dialects.check_references(schema, "p")


@pytest.mark.anyio
async def test_the_cli_takes_every_dialect_of_tools(make, model):
    sent = [
        *SAID_OTHERWISE.values(),
        *(schema for schema, _ in WITH_MORE.values()),
        {"type": "object", "oneOf": EITHER, "$defs": PETS},
    ]
    schemas = [
        dialects.for_tool(dialects.in_newest_form(SchemaMender().mended(s, "t", "p")))[
            0
        ]
        for s in sent
    ]
    tools = tuple(
        Tool(f"t{number}", "", json.dumps(schema))
        for number, schema in enumerate(schemas)
    )
    listed = await listed_by_cli(make(), Setup("sonnet", tools=tools))
    assert sorted(listed) == sorted(PREFIX + tool.name for tool in tools)


@pytest.mark.anyio
async def test_the_cli_takes_every_dialect_of_answers(make, model):
    manager = make()
    sent = [*SAID_OTHERWISE.values(), *(schema for schema, _ in WITH_MORE.values())]
    properties = {}
    for number, schema in enumerate(sent):
        reduced = json.dumps(dialects.for_answer(meant(schema)).schema)
        # Its own place is the root no more.
        moved = reduced.replace('"#', f'"#/properties/p{number}')
        properties[f"p{number}"] = json.loads(moved)
    schema = json.dumps({"type": "object", "properties": properties})
    listed = await listed_by_cli(manager, Setup("sonnet", schema=schema))
    assert listed == [protocol.STRUCTURED_OUTPUT]


async def listed_by_cli(manager, setup):
    asked = Conversation(setup, (), [{"type": "text", "text": "hi"}])
    async with manager.acquire(asked, disposable=True) as lease:
        return (await lease.session.seed([Turn("user", asked.question)])).tools
