"""The Responses API, by the official client, against the real CLI."""

from __future__ import annotations

import json
import threading

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from claude_nb_gateway.demo.model import Reply

from .resources import http
from .test_tools import call, sessions, tool_results

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture
def respond(client):
    def respond(given="hello", **options):
        return client.responses.create(model="sonnet", input=given, **options)

    return respond


def types(events):
    return [event.type for event in events]


def test_text_is_answered_whole(respond, model):
    model.script(Reply(["Good ", "day"]))
    response = respond(instructions="Be kind.", metadata={"a": "b"})
    assert response.output_text == "Good day"
    assert response.status == "completed"
    assert response.instructions == "Be kind."
    assert response.metadata == {"a": "b"}
    assert response.model == "claude-sonnet-5-5"
    assert response.usage.input_tokens == 10
    assert "Be kind." in model.requests[0].system


def test_events_of_a_text_are_complete_and_in_order(respond, model):
    model.script(Reply(["Good ", "day"]))
    events = list(respond(stream=True))
    assert types(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].response.output == []
    assert events[0].response.status == "in_progress"
    assert events[2].item.content == []
    assert events[2].item.status == "in_progress"
    assert events[-3].part.text == "Good day"
    assert events[-1].response.output[0].content[0].text == "Good day"
    assert events[-1].response.output[0].status == "completed"
    assert len({event.item_id for event in events[3:8]}) == 1


def test_the_helper_for_streams_follows(client, model):
    model.script(Reply(["Good ", "day"]))
    with client.responses.stream(model="sonnet", input="hello") as stream:
        events = list(stream)
        assert stream.get_final_response().output_text == "Good day"
    assert events[-1].type == "response.completed"


def test_thoughts_are_shown_to_who_asks(respond, model):
    model.script(
        Reply(["Yes."], thinking=["Hm", "m."]), Reply(["Yes."], thinking=["Hm"])
    )
    response = respond(reasoning={"effort": "low", "summary": "auto"})
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].summary[0].text == "Hmm."
    assert [item.type for item in respond("again").output] == ["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_functions_are_called_and_answered(respond, model, stream):
    model.script(
        Reply(["Let me see."], tool_uses=[call(1), call(2)]), Reply(["It is cold."])
    )
    question = {"role": "user", "content": "weather?"}
    answer = respond([question], tools=[WEATHER], stream=stream)
    if stream:
        events = list(answer)
        response = events[-1].response
        deltas = [e.delta for e in events if e.type.endswith("arguments.delta")]
        assert "".join(deltas) == '{"city": "Oslo"}' * 2
        done = [e for e in events if e.type.endswith("arguments.done")]
        assert [e.name for e in done] == ["get_weather"] * 2
    else:
        response = answer
    assert [item.type for item in response.output] == [
        "message",
        "function_call",
        "function_call",
    ]
    assert response.output[1].arguments == '{"city": "Oslo"}'
    outputs = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "-3 C"}
        for item in response.output[1:]
    ]
    echoed = [item.model_dump(exclude_none=True) for item in response.output]
    last = respond([question, *echoed, *outputs], tools=[WEATHER])
    assert last.output_text == "It is cold."
    assert len(tool_results(model.requests[1])) == 2
    assert len(set(sessions(model))) == 1


def test_previous_response_is_continued_on_its_process(respond, model):
    model.script(Reply(["one"]), Reply(tool_uses=[call()]), Reply(["three"]))
    first = respond("1")
    second = respond("2", previous_response_id=first.id, tools=[WEATHER])
    assert second.previous_response_id == first.id
    output = {"type": "function_call_output", "output": "x"}
    output["call_id"] = second.output[0].call_id
    third = respond([output], previous_response_id=second.id, tools=[WEATHER])
    assert third.output_text == "three"
    assert [text for _, text in model.requests[1].turns] == ["1", "one", "2"]
    assert sessions(model)[1] == sessions(model)[2]


def test_references_to_items_stand_for_them(respond, model):
    model.script(Reply(["one"]), Reply(["two"]))
    first = respond("the first")
    reference = {"type": "item_reference", "id": first.output[0].id}
    respond(
        [
            {"role": "user", "content": "the first"},
            reference,
            {"role": "user", "content": "2"},
        ]
    )
    turns = [text for _, text in model.requests[1].turns]
    assert turns == ["the first", "one", "2"]
    assert len(set(sessions(model))) == 1


def test_reference_to_nothing_is_refused(respond):
    with pytest.raises(openai.BadRequestError) as error:
        respond([{"type": "item_reference", "id": "msg_x"}])
    assert error.value.param == "input[0].id"


class Person(BaseModel):
    name: str
    age: int


def test_answers_are_parsed(client, model):
    fragments = ('{"name": "Ada",', ' "age": 36}')
    model.script(Reply(tool_uses=[call(name="StructuredOutput", fragments=fragments)]))
    response = client.responses.parse(model="sonnet", input="Who?", text_format=Person)
    assert response.output_parsed == Person(name="Ada", age=36)
    assert response.text.format.type == "json_schema"


def test_stored_responses_are_retrieved_and_deleted(client, respond, model):
    model.script(Reply(["one"]))
    first = respond("1")
    again = client.responses.retrieve(first.id)
    assert again.output_text == "one"
    items = client.responses.input_items.list(first.id)
    assert [item.content[0].text for item in items] == ["1"]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError) as error:
        client.responses.retrieve(first.id)
    assert error.value.code == "response_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        respond("2", previous_response_id=first.id)
    assert refused.value.param == "previous_response_id"
    assert refused.value.code == "previous_response_not_found"


def test_what_is_not_stored_cannot_be_asked_for(client, respond, model):
    model.script(Reply(["one"]))
    response = respond("1", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_another_caller_finds_nothing(client, respond, gateway):
    response = respond("1")
    name = f"claude-gateway-{gateway.process.pid}.json"
    runtime = json.loads((gateway.directory / "runtime" / name).read_text())
    other = client.with_options(api_key=runtime["api_key"])
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(response.id)


def test_limit_makes_the_response_incomplete(respond, model):
    model.script(Reply(["cut"], stop_reason="max_tokens"))
    response = respond(max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == "cut"


def test_background_is_asked_for_until_it_is_there(client, respond, model):
    model.script(Reply(["slow"], first_delay_seconds=0.2))
    response = respond(background=True)
    assert response.status == "queued"
    while response.status in ("queued", "in_progress"):
        response = client.responses.retrieve(response.id)
    assert response.status == "completed"
    assert response.output_text == "slow"


def test_background_failure_is_in_the_response(client, respond, model):
    model.responder = lambda request: Reply(status=400, message="scripted")
    response = respond(background=True)
    while response.status in ("queued", "in_progress"):
        response = client.responses.retrieve(response.id)
    assert response.status == "failed"
    assert response.error.code == "server_error"


def test_background_is_cancelled(client, respond, model):
    model.script(Reply(["never"], hang="before"))
    response = respond(background=True)
    model.wait_for_request()
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"
    assert model.requests[0].abandoned.wait(10)
    with pytest.raises(openai.BadRequestError, match="nothing to cancel"):
        client.responses.cancel(response.id)


def test_stream_is_cancelled_by_another_request(client, respond, model):
    model.script(Reply(["some"], delay_seconds=0.01, hang="after"))
    stream = respond(stream=True)
    seen, cancelled = [], threading.Event()
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta" and not cancelled.is_set():
            cancelled.set()
            threading.Thread(
                target=client.responses.cancel, args=(seen[0].response.id,)
            ).start()
    assert seen[-1].response.status == "cancelled"
    assert model.requests[0].abandoned.wait(10)


def test_failure_before_the_answer_is_a_status(respond, model):
    model.responder = lambda request: Reply(status=400, message="scripted")
    with pytest.raises(openai.BadRequestError):
        respond(stream=True)


def test_failure_in_mid_stream_is_an_event(respond, model):
    model.script(Reply(["some ", "words"], delay_seconds=0.01, drop_after=1))
    events = list(respond(stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert events[-1].response.error.message


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"given": []}, "input"),
        ({"given": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"given": [{"type": "telepathy_call"}]}, "input[0].type"),
        ({"tools": [{"type": "telepathy"}]}, "tools[0].type"),
        ({"tools": [{**WEATHER, "name": ""}]}, "tools[0].name"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "x"}}, "prompt"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"background": True, "stream": True}, "background"),
        ({"background": True, "store": False}, "background"),
        ({"previous_response_id": "resp_x"}, "previous_response_id"),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "x",
                        "schema": {},
                        "strict": True,
                    }
                }
            },
            "text.format.schema",
        ),
        (
            {
                "given": [
                    {"type": "function_call", "call_id": "c", "name": "f"}
                    | {"arguments": "{}"},
                    {"role": "user", "content": "?"},
                ]
            },
            "input[0]",
        ),
        (
            {
                "given": [
                    {
                        "role": "user",
                        "content": [{"type": "input_image", "image_url": "http://x/"}],
                    }
                ]
            },
            "input[0].content[0].image_url",
        ),
    ],
)
def test_what_cannot_be_honoured_names_its_field(respond, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        respond(**options)
    assert error.value.param == param
    assert param in error.value.message


def test_fields_without_effect_are_reported(client):
    answer = client.responses.with_raw_response.create(
        model="sonnet", input="q", temperature=0.5, truncation="auto"
    )
    assert answer.headers["x-ignored-parameters"] == "truncation, temperature"


def test_answer_has_the_official_shape(client, model):
    answer = client.responses.with_raw_response.create(
        model="sonnet", input="q", tools=[WEATHER], reasoning={"effort": "low"}
    )
    Response.model_validate_json(answer.content, strict=True)


ALL_FIELDS = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "top_logprobs": 0,
    "service_tier": "default",
    "truncation": "disabled",
    "tool_choice": "auto",
    "tools": [],
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "background": False,
    "store": True,
    "metadata": {},
    **dict.fromkeys(
        (
            "instructions",
            "max_output_tokens",
            "max_tool_calls",
            "previous_response_id",
            "prompt_cache_key",
            "safety_identifier",
            "error",
            "incomplete_details",
        )
    ),
}


def test_response_has_all_its_fields_however_it_is_had(gateway):
    body = {"model": "sonnet", "input": "q"}
    with http(gateway) as plain:
        whole = plain.post("responses", json=body).json()
        stored = plain.get(f"responses/{whole['id']}").json()
        stream = plain.post("responses", json={**body, "stream": True}).text
    frames = [frame.partition("data: ")[2] for frame in stream.split("\n\n") if frame]
    assert frames.pop() == "[DONE]"
    events = [json.loads(frame) for frame in frames]
    shown = [event["response"] for event in events if "response" in event]
    assert len(shown) == 3
    for response in (whole, stored, *shown):
        assert response.items() >= ALL_FIELDS.items()
        assert (
            response["reasoning"].items() >= {"effort": None, "summary": None}.items()
        )
        assert response.keys() == whole.keys()
    assert shown[0]["usage"] is None
    assert shown[-1]["usage"]["output_tokens"]


def test_response_says_what_was_asked_for(respond):
    asked = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tool_calls": 3,
        "safety_identifier": "a",
        "prompt_cache_key": "b",
        "truncation": "auto",
        "parallel_tool_calls": False,
    }
    response = respond(**asked)
    assert {name: getattr(response, name) for name in asked} == asked


def test_two_may_go_on_from_one_response(client, respond, model):
    first = respond("a beginning of its own")
    both = [
        respond(text, previous_response_id=first.id, stream=True)
        for text in ("left", "right")
    ]
    answers = [list(stream)[-1].response.output_text for stream in both]
    assert answers == ["left", "right"]
