"""Answers that must be JSON where the CLI does not see to it, by the official clients.

What is asked for in words, held back, checked, and asked for once more.
"""

from __future__ import annotations

import json

import anthropic
import openai
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse

from .apis import post
from .test_tools import WEATHER, call, echoed, message_of, result, sessions, user

OBJECT = {"type": "json_object"}
REDUCED = "x-reduced-parameters"
CORRECTED = "x-corrected-parameters"
SCHEMA = "response_format.json_schema.schema"
TUPLE = {
    "type": "object",
    "properties": {
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "integer"}],
            "items": False,
        }
    },
    "required": ["pair"],
}
TUPLE_VALUE = {"pair": ["a", 1]}
WRONG_TUPLE = {"pair": [1, "a"]}
LIST = {"type": "array", "items": {"type": "integer"}}


def in_schema(schema, **more):
    json_schema = {"name": "answer", "schema": schema, **more}
    return {"type": "json_schema", "json_schema": json_schema}


def structured(value, number=1):
    fragments = (json.dumps(value),)
    return Reply(tool_uses=[ToolUse("StructuredOutput", fragments, f"toolu_{number}")])


@pytest.fixture
def chat(client):
    """A raw answer: its headers count too."""

    def chat(*messages, **options):
        options = {"response_format": OBJECT, **options}
        return client.chat.completions.with_raw_response.create(
            model="sonnet", messages=list(messages), **options
        )

    return chat


def text_of(response, stream=False):
    if not stream:
        return message_of(response.parse()).content
    choices = [chunk.choices[0] for chunk in response.parse()]
    assert choices[-1].finish_reason == "stop"
    return "".join(choice.delta.content or "" for choice in choices)


@pytest.mark.parametrize("stream", [True, False])
def test_any_object_is_asked_for_in_words(chat, model, stream):
    model.script(Reply(['{"a"', ": [1]}"]))
    response = chat(user("some JSON"), stream=stream)
    assert text_of(response, stream) == '{"a": [1]}'
    (request,) = model.requests
    assert not request.body.get("tools")
    assert "You must answer with one JSON object" in request.turns[-1][1]
    assert "JSON" not in request.system


def test_words_about_the_answer_are_no_part_of_the_conversation(chat, model):
    model.script(Reply(['{"a": 1}']), Reply(["Two."]))
    first = message_of(chat(user("some JSON")).parse())
    messages = [user("some JSON"), echoed(first), user("and?")]
    chat(*messages, response_format={"type": "text"})
    assert model.requests[-1].turns[-1][1] == "and?"
    assert "You must" not in str(model.requests[-1].messages)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("bad", ["It is 1.", "[1]", '{"a": NaN}'])
def test_what_is_no_object_is_asked_for_again(chat, model, bad, stream):
    model.script(Reply([bad]), Reply(['{"a": 1}']))
    response = chat(user("some JSON"), stream=stream)
    assert text_of(response, stream) == '{"a": 1}'
    assert "You must answer again" in model.requests[-1].turns[-1][1]
    assert response.headers[CORRECTED] == "response_format"


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_only_talks_is_an_error(chat, model, stream):
    model.responder = lambda request: Reply(["It rains."])
    with pytest.raises(openai.InternalServerError) as error:
        list(chat(user("some JSON"), stream=stream).parse())
    assert error.value.code == "constraint_unmet"
    assert len(model.requests) == 2


@pytest.mark.parametrize("stream", [True, False])
def test_object_in_a_code_fence_is_taken_out_of_it(chat, model, stream):
    model.script(Reply(["```json\n", '{"a": 1}', "\n```"]))
    response = chat(user("some JSON"), stream=stream)
    assert text_of(response, stream) == '{"a": 1}'
    assert len(model.requests) == 1


def test_answer_that_is_cut_is_passed_on(chat, model):
    model.script(Reply(['{"a": '], stop_reason="max_tokens"))
    completion = chat(user("some JSON")).parse()
    assert completion.choices[0].finish_reason == "length"
    assert message_of(completion).content == '{"a": '


def test_functions_come_before_the_object(chat, model):
    model.script(Reply(["Let me see."], tool_uses=[call()]), Reply(['{"a": 1}']))
    message = message_of(chat(user("weather?"), tools=[WEATHER]).parse())
    assert message.content == "Let me see."
    assert message.tool_calls[0].function.name == "get_weather"
    messages = [user("weather?"), echoed(message), result("toolu_1", "rain")]
    assert text_of(chat(*messages, tools=[WEATHER])) == '{"a": 1}'
    assert len(set(sessions(model))) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [({"type": "text"}, OBJECT), (OBJECT, {"type": "text"})],
    ids=["begins", "ends"],
)
def test_format_that_changes_with_the_results_is_told_at_once(
    chat, model, before, after
):
    model.script(Reply(tool_uses=[call()]), Reply(['{"a": 1}']))
    first = chat(user("weather?"), tools=[WEATHER], response_format=before)
    messages = [
        user("weather?"),
        echoed(message_of(first.parse())),
        result("toolu_1", "rain"),
    ]
    second = chat(*messages, tools=[WEATHER], response_format=after)
    assert text_of(second) == '{"a": 1}'
    assert CORRECTED not in second.headers
    told = str(model.requests[-1].messages)
    assert "rain" in told
    assert ("You must answer with one JSON object" in told) == (after == OBJECT)


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_cli_cannot_ask_for_is_checked_and_said(chat, model, stream):
    model.script(structured(WRONG_TUPLE), structured(TUPLE_VALUE, 2))
    response = chat(
        user("pair?"), response_format=in_schema(TUPLE, strict=True), stream=stream
    )
    assert json.loads(text_of(response, stream)) == TUPLE_VALUE
    assert response.headers[REDUCED] == f"{SCHEMA}.prefixItems"
    assert response.headers[CORRECTED] == "response_format"


def test_what_never_matches_is_an_error(chat, model):
    model.script(structured(WRONG_TUPLE), structured(WRONG_TUPLE, 2))
    with pytest.raises(openai.InternalServerError, match="pair") as error:
        chat(user("pair?"), response_format=in_schema(TUPLE))
    assert error.value.code == "constraint_unmet"


def test_what_is_not_strict_is_not_checked(chat, model):
    model.script(structured(WRONG_TUPLE))
    wanted = in_schema(TUPLE, strict=False)
    response = chat(user("pair?"), response_format=wanted)
    assert json.loads(text_of(response)) == WRONG_TUPLE
    assert response.headers[REDUCED] == f"{SCHEMA}.prefixItems"


@pytest.mark.soak
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_no_object_can_be_had_where_it_is_not_strict(chat, model, stream):
    model.script(Reply(['{"a": 1}']), Reply(["[1, 2]"]))
    response = chat(user("list?"), response_format=in_schema(LIST), stream=stream)
    assert text_of(response, stream) == "[1, 2]"
    assert "JSON Schema" in model.requests[0].turns[-1][1]
    assert REDUCED not in response.headers


@pytest.mark.soak
def test_an_answer_that_takes_too_long_to_check_stops_nothing(chat, model):
    schema = {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}
    model.script(structured({"a": "a" * 40 + "b"}), Reply(["Here."]))
    with pytest.raises(openai.BadRequestError, match="too long to check") as error:
        chat(user("q"), response_format=in_schema(schema))
    assert error.value.param == "response_format"
    text = chat(user("still there?"), response_format={"type": "text"})
    assert text_of(text) == "Here."


def test_pydantics_discriminated_union(client, model):
    model.script(structured({"pet": {"kind": "cat", "lives": 9}}))
    completion = client.chat.completions.create(
        model="sonnet",
        messages=[user("pet?")],
        response_format=in_schema(PETS, strict=True),
    )
    assert json.loads(message_of(completion).content)["pet"]["lives"] == 9


PETS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "pet": {
            "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
            "discriminator": {"propertyName": "kind"},
        }
    },
    "required": ["pet"],
    "$defs": {
        "Cat": {
            "type": "object",
            "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
        },
        "Dog": {"type": "object", "properties": {"kind": {"const": "dog"}}},
    },
}


def test_responses_api(client, model):
    model.script(Reply(['```json\n{"a": 1}\n```']))
    made = client.responses.create(
        model="sonnet", input="JSON", text={"format": {"type": "json_object"}}
    )
    assert made.output_text == '{"a": 1}'
    model.script(structured(TUPLE_VALUE))
    wanted = {"type": "json_schema", "name": "pair", "schema": TUPLE}
    response = client.responses.with_raw_response.create(
        model="sonnet", input="pair?", text={"format": wanted}
    )
    assert json.loads(response.parse().output_text) == TUPLE_VALUE
    assert response.headers[REDUCED] == "text.format.schema.prefixItems"


def test_messages_api(gateway, model):
    model.script(structured(TUPLE_VALUE))
    url = gateway.base_url.removesuffix("/v1")
    union = {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    with anthropic.Anthropic(base_url=url, api_key=gateway.key) as client:
        response = client.messages.with_raw_response.create(
            model="sonnet",
            max_tokens=100,
            messages=[user("pair?")],
            output_config={"format": {"type": "json_schema", "schema": TUPLE}},
            tools=[{"name": "f", "input_schema": union}],
        )
    assert json.loads(response.parse().content[0].text) == TUPLE_VALUE
    assert response.headers[REDUCED] == (
        "output_config.format.schema.prefixItems, tools[0].input_schema.oneOf"
    )


def wanting(api, schema):
    """The fields by which `api` is asked for an answer of `schema`."""
    wanted = {"type": "json_schema", "schema": schema}
    if api == "messages":
        return {"output_config": {"format": wanted}}
    return {"text": {"format": {**wanted, "name": "answer"}}}


FORMATS = [("responses", "text.format"), ("messages", "output_config.format")]


@pytest.mark.parametrize(("api", "name"), FORMATS)
def test_correction_has_the_name_of_the_api(gateway, model, api, name):
    model.script(structured(WRONG_TUPLE), structured(TUPLE_VALUE, 2))
    response = post(gateway, api, model="sonnet", **wanting(api, TUPLE))
    assert response.status_code == 200
    assert response.headers[CORRECTED] == name


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("api", "name"), FORMATS)
def test_what_never_matches_is_an_error_with_the_name_of_the_api(
    gateway, model, api, name, stream
):
    numbers = {"type": "object", "properties": {"n": {"type": "integer"}}}
    # The CLI's own check comes when a stream has begun.
    schema, wrong = (numbers, {"n": "one"}) if stream else (TUPLE, WRONG_TUPLE)
    model.script(structured(wrong), structured(wrong, 2))
    fields = wanting(api, schema)
    response = post(gateway, api, model="sonnet", stream=stream, **fields)
    assert response.status_code == (200 if stream else 502)
    assert f"`{name}`" in response.text
    assert "`response_format`" not in response.text
