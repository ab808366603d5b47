from __future__ import annotations

import json

import pytest

from claude_nb_gateway.turn import schema_worker


def answer(schema, value=None):
    if value is not None:
        value = json.dumps(value)
    return schema_worker.answer({"schema": json.dumps(schema), "value": value})


def mismatch(schema, value):
    return answer(schema, value)["error"]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"pattern": "^a+$"}, "aa", "b"),
        ({"pattern": "^(?<first>a)$"}, "a", "b"),
        ({"patternProperties": {"^a": {"type": "string"}}}, {"ab": "x"}, {"ab": 1}),
        ({"uniqueItems": True}, [1, True, "1"], [1, 1.0]),
        (
            {
                "$schema": "http://json-schema.org/draft-04/schema#",
                "minimum": 1,
                "exclusiveMinimum": True,
            },
            2,
            1,
        ),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a"], ["a", "b"]),
    ],
)
def test_what_matches(schema, good, bad):
    assert mismatch(schema, good) == ""
    assert mismatch(schema, bad)


def test_many_unique_items_are_compared_in_no_time():
    items = [{"number": number} for number in range(20_000)]
    assert mismatch({"uniqueItems": True}, items) == ""
    assert mismatch({"uniqueItems": True}, [*items, {"number": 1.0}])


@pytest.mark.parametrize(
    "schema",
    [{"properties": {"n": {"$ref": "#"}}}, {"$ref": "#"}],
)
def test_what_is_nested_too_deeply_matches_nothing(schema):
    value = '{"n":' * 900 + "[]" + "}" * 900
    said = schema_worker.answer({"schema": json.dumps(schema), "value": value})
    assert said["error"] == schema_worker.TOO_DEEP


@pytest.mark.parametrize("text", ["", "{", "NaN", "[1,]"])
def test_what_is_no_json_matches_nothing(text):
    said = schema_worker.answer({"schema": "{}", "value": text})
    assert said["error"] == "It is no JSON."


@pytest.mark.parametrize("ref", ["#/$defs/x", "http://127.0.0.1:9/x.json", "x.json"])
def test_reference_that_leads_nowhere(ref):
    assert "leads nowhere" in mismatch({"$ref": ref}, 1)


def test_pattern_that_only_javascript_reads_is_not_checked():
    schema = {"pattern": r"^\p{Lu}$"}
    assert answer(schema)["error"] == ""
    assert mismatch(schema, "x") == ""


def test_what_is_no_schema():
    said = answer({"properties": {"a": {"type": "objekt"}}})
    assert said["at"] == ["properties", "a", "type"]
    assert "objekt" in said["error"]


def test_message_is_short_however_long_the_value():
    assert len(mismatch({"type": "string"}, ["x" * 100_000])) < 1_000
