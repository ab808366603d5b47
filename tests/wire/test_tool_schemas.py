from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.property_names import with_legal_names
from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.tool_schemas import MOST_SUBSCHEMAS, SchemaMender

TEXT = {"type": "string"}


def mended(**schema):
    return SchemaMender().mended(schema, "t", "p")


def mended_property(schema):
    return mended(properties={"a": schema})["properties"]["a"]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"type": "array", "items": None}, {"type": "array"}),
        ({"enum": None, "description": None, "default": None}, {"default": None}),
        (None, {}),
        ([], {}),
        (True, True),
        ({"type": ["string", "null", "null"]}, {"type": ["string", "null"]}),
        ({"properties": [], "required": {}}, {"properties": {}, "required": []}),
        ({"required": ["a", "a"]}, {"required": ["a"]}),
        ({"required": "a"}, {"required": ["a"]}),
        (
            {"items": [TEXT], "additionalItems": False},
            {"prefixItems": [TEXT], "items": False},
        ),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"maxLength": 3.0}, {"maxLength": 3}),
        (
            {"properties": {"b": {"required": True}, "c": {"required": False}}},
            {
                "properties": {"b": {"required": []}, "c": {"required": []}},
                "required": ["b"],
            },
        ),
        (
            {"x-own": None, "example": {"properties": 1}},
            {"x-own": None, "example": {"properties": 1}},
        ),
    ],
)
def test_plain_meanings_are_mended(sent, meant):
    assert mended_property(sent) == meant


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({"type": "text"}, "p.type"),
        ({"properties": {"a": 1}}, "p.properties.a"),
        ({"properties": "a"}, "p.properties"),
        ({"anyOf": {}}, "p.anyOf"),
        ({"anyOf": [TEXT, 1]}, "p.anyOf[1]"),
        ({"minLength": -1}, "p.minLength"),
        ({"minLength": 1.5}, "p.minLength"),
        ({"minimum": "1"}, "p.minimum"),
        ({"title": 1}, "p.title"),
        ({"uniqueItems": "yes"}, "p.uniqueItems"),
        ({"required": [1]}, "p.required[0]"),
        ({"dependentRequired": {"a": 1}}, "p.dependentRequired.a"),
        ({"dependencies": {"a": 1}}, "p.dependencies.a"),
        ({"$defs": {"D": {"enum": 1}}}, "p.$defs.D.enum"),
    ],
)
def test_the_field_without_a_meaning_is_named(sent, where):
    with pytest.raises(InvalidRequest) as error:
        mended(**{"type": "object", **sent})
    assert error.value.param == (where if "type" not in sent else "p")


def nested(levels):
    schema = TEXT
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [nested(300), {"anyOf": [{}] * MOST_SUBSCHEMAS}],
    ids=["deep", "wide"],
)
def test_what_takes_long_is_refused(schema):
    with pytest.raises(InvalidRequest):
        mended_property(schema)
    assert mended_property(nested(50)) == nested(50)


def test_names_are_changed_wherever_they_are_of_the_same_object():
    schema = {
        "type": "object",
        "properties": {"$a": TEXT, "b": {"$ref": "#/properties/$a"}},
        "required": ["$a", "b"],
        "dependentRequired": {"$a": ["b"], "b": ["$a"]},
        "anyOf": [{"required": ["$a"]}, {"properties": {"$a": {"const": "x"}}}],
        "if": {"properties": {"$a": {"const": "x"}}},
        "default": {"$a": "x"},
    }
    legal, renamed = with_legal_names(schema)
    ((name, shown),) = renamed
    assert name == "$a"
    assert "'$a'" in legal["properties"].pop(shown)["description"]
    assert legal == {
        "type": "object",
        "properties": {"b": {"$ref": f"#/properties/{shown}"}},
        "required": [shown, "b"],
        "dependentRequired": {shown: ["b"], "b": [shown]},
        "anyOf": [{"required": [shown]}, {"properties": {shown: {"const": "x"}}}],
        "if": {"properties": {shown: {"const": "x"}}},
        "default": {shown: "x"},
    }


def test_legal_names_are_left_alone():
    schema = {"type": "object", "properties": {"a.b-c_d": TEXT, "x" * 64: TEXT}}
    assert with_legal_names(schema) == (schema, ())


def test_names_that_resemble_each_other_stay_apart():
    names = ["$a", "a$", "[a]", "場", "所", ""]
    _, renamed = with_legal_names({"properties": dict.fromkeys(names, TEXT)})
    assert len({shown for _, shown in renamed}) == len(names)
