"""Answers with a schema, from the real CLI, through the official client."""

from __future__ import annotations

import json
from typing import Literal

import openai
import pydantic
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse

from .test_tools import WEATHER, call, echoed, message_of, result, user

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}


def answer(*fragments, number=1):
    return ToolUse("StructuredOutput", fragments, f"toolu_{number}")


@pytest.fixture
def chat(client):
    def chat(*messages, **options):
        options = {"response_format": FORMAT, **options}
        return client.chat.completions.create(
            model="sonnet", messages=list(messages), **options
        )

    return chat


def content(completion):
    assert completion.choices[0].finish_reason == "stop"
    return json.loads(message_of(completion).content)


def test_answer_is_json_of_the_schema(chat, model):
    model.script(Reply(["Well."], tool_uses=[answer('{"city": ', '"Oslo"}')]))
    assert content(chat(user("weather?"))) == {"city": "Oslo"}
    assert len(model.requests) == 1
    (tool,) = model.requests[0].body["tools"]
    assert tool["input_schema"]["properties"] == SCHEMA["properties"]


def test_answer_is_streamed_while_it_is_written(chat, model):
    fragments = ('{"ci', 'ty": "Os', 'lo"}')
    model.script(Reply(["Well."], tool_uses=[answer(*fragments)]))
    chunks = list(chat(user("weather?"), stream=True))
    deltas = [chunk.choices[0].delta.content for chunk in chunks]
    assert [delta for delta in deltas if delta] == list(fragments)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)


def test_text_is_no_format(chat, model):
    assert message_of(chat(user("hi"), response_format={"type": "text"})).content
    assert not model.requests[0].body.get("tools")


def test_what_does_not_match_is_not_passed_on(chat, model):
    model.script(
        Reply(tool_uses=[answer('{"city": 5}')]),
        Reply(tool_uses=[answer('{"city": "Oslo"}', number=2)]),
    )
    assert content(chat(user("weather?"))) == {"city": "Oslo"}


def test_what_does_not_match_is_an_error_once_it_is_sent(chat, model):
    model.script(
        Reply(tool_uses=[answer('{"city": 5}')]),
        Reply(tool_uses=[answer('{"city": "Oslo"}', number=2)]),
    )
    with pytest.raises(openai.APIError, match="response_format"):
        list(chat(user("weather?"), stream=True))


@pytest.mark.soak
@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_only_talks_is_an_error(chat, model, stream):
    model.responder = lambda request: Reply(["It rains."])
    with pytest.raises(openai.APIError, match="response_format"):
        list(chat(user("weather?"), stream=stream))


def test_a_model_that_only_talks_at_first(chat, model):
    model.script(Reply(["It rains."]), Reply(tool_uses=[answer('{"city": "Oslo"}')]))
    assert content(chat(user("weather?"))) == {"city": "Oslo"}


def test_answer_that_is_cut(chat, model):
    model.script(Reply(tool_uses=[answer('{"city": "Os')], stop_reason="max_tokens"))
    completion = chat(user("weather?"))
    assert completion.choices[0].finish_reason == "length"


def test_functions_beside_a_schema(chat, model):
    model.script(
        Reply(tool_uses=[call()]), Reply(tool_uses=[answer('{"city": "Oslo"}')])
    )
    message = message_of(chat(user("weather?"), tools=[WEATHER]))
    assert message.tool_calls[0].function.name == "get_weather"
    messages = [user("weather?"), echoed(message), result("toolu_1", "rain")]
    assert content(chat(*messages, tools=[WEATHER])) == {"city": "Oslo"}
    assert len(model.requests) == 2


@pytest.mark.soak
def test_conversation_goes_on(chat, model):
    model.script(Reply(tool_uses=[answer('{"city": "Oslo"}')]))
    message = message_of(chat(user("weather?")))
    model.script(Reply(tool_uses=[answer('{"city": "Rome"}')]))
    messages = [user("weather?"), echoed(message), user("and in Rome?")]
    assert content(chat(*messages)) == {"city": "Rome"}
    assert [text for _, text in model.requests[-1].turns][1] == message.content


class Weather(pydantic.BaseModel):
    city: str
    sky: Literal["clear", "rain"]


def test_parse_gives_a_pydantic_model(client, model):
    model.script(Reply(tool_uses=[answer('{"city": "Oslo", "sky": "rain"}')]))
    completion = client.chat.completions.parse(
        model="sonnet", messages=[user("weather?")], response_format=Weather
    )
    assert message_of(completion).parsed == Weather(city="Oslo", sky="rain")


def test_parse_gives_the_arguments_of_a_pydantic_function(client, model):
    name = "mcp__client__Weather"
    arguments = ('{"city": "Oslo", "sky": "rain"}',)
    model.script(Reply(tool_uses=[call(name=name, fragments=arguments)]))
    completion = client.chat.completions.parse(
        model="sonnet",
        messages=[user("weather?")],
        tools=[openai.pydantic_function_tool(Weather)],
    )
    (made,) = message_of(completion).tool_calls
    assert made.function.parsed_arguments == Weather(city="Oslo", sky="rain")


@pytest.mark.parametrize(
    ("json_schema", "param"),
    [
        ({"name": "x"}, "response_format.json_schema.schema"),
        ({"schema": SCHEMA}, "response_format.json_schema"),
        (
            {"name": "x", "schema": {"type": "array"}, "strict": True},
            SCHEMA_PARAM := "response_format.json_schema.schema",
        ),
        (
            {
                "name": "x",
                "schema": {"type": "object", "properties": {"a": {"type": "objekt"}}},
            },
            SCHEMA_PARAM + ".properties.a.type",
        ),
    ],
)
def test_schema_that_cannot_be_used_is_refused(chat, json_schema, param):
    wanted = {"type": "json_schema", "json_schema": json_schema}
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("hi"), response_format=wanted)
    assert error.value.param == param


def test_the_helper_for_streams_follows(client, model):
    fragments = answer('{"city": "Oslo", "sky": "rain"}')
    model.script(Reply(tool_uses=[fragments]))
    with client.chat.completions.stream(
        model="sonnet", messages=[user("weather?")], response_format=Weather
    ) as stream:
        assert [event.type for event in stream][-1] == "content.done"
        completion = stream.get_final_completion()
    assert message_of(completion).parsed == Weather(city="Oslo", sky="rain")
