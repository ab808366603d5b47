"""The 17 checks of Open Responses' own test suite, with its requests.

What they say of the shape of answers the fixture `open_responses` says of every test.
"""

from __future__ import annotations

import json

import pytest

from claude_nb_gateway.demo.model import Reply

from ..api.resources import http
from ..api.test_tools import call
from . import document

HEART = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8"
    "z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    },
}


def message(role, content, **fields):
    return {"type": "message", "role": role, "content": content, **fields}


@pytest.fixture
def post(gateway):
    """POST to `path`; the model is named unless the test does it."""

    def post(path="responses", **body):
        with http(gateway) as client:
            return client.post(path, json={"model": "sonnet", **body})

    return post


def completed(answer):
    assert answer.status_code == 200, answer.text
    response = answer.json()
    assert response["status"] == "completed"
    assert response["output"]
    return response


def events_of(answer):
    frames = [part.partition("data: ")[2] for part in answer.text.split("\n\n") if part]
    assert frames[-1] == "[DONE]"
    return [json.loads(frame) for frame in frames[:-1]]


def test_basic_response(post):
    completed(post(input=[message("user", "Say hello in exactly 3 words.")]))


def test_assistant_phase(post, model):
    said = [
        message("assistant", "I should answer.", phase="commentary"),
        message("assistant", "The number is four.", phase="final_answer"),
    ]
    question = message("user", "Repeat only the number.")
    model.script(Reply(["four"]))
    completed(post(input=[*said, question]))
    assert any("The number is four." in text for _, text in model.requests[0].turns)


def test_response_output_phase_schema(post):
    # The suite's own check sends nothing: the schema is to know the labels.
    response = completed(post(input="hello"))
    response["output"] = [
        {**response["output"][0], "phase": phase}
        for phase in ("commentary", "final_answer")
    ]
    assert document.faults("ResponseResource", response) == []
    response["output"][0]["phase"] = "none"
    assert document.faults("ResponseResource", response)


def test_streaming_response(post, model):
    model.script(Reply(["1 2 3 ", "4 5"]))
    answer = post(input=[message("user", "Count from 1 to 5.")], stream=True)
    events = events_of(answer)
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["status"] == "completed"


def test_system_prompt(post, model):
    pirate = "You are a pirate. Always respond in pirate speak."
    completed(post(input=[message("system", pirate), message("user", "Say hello.")]))
    assert pirate in model.requests[0].system


def test_tool_calling(post, model):
    model.script(Reply(tool_uses=[call(1)]))
    question = message("user", "What's the weather like in San Francisco?")
    response = completed(post(input=[question], tools=[WEATHER]))
    assert [item["type"] for item in response["output"]] == ["function_call"]


def test_image_input(post, model):
    parts = [
        {"type": "input_text", "text": "What do you see in this image?"},
        {"type": "input_image", "image_url": HEART},
    ]
    completed(post(input=[message("user", parts)]))
    kinds = [block["type"] for block in model.requests[0].messages[-1]["content"]]
    assert "image" in kinds


def test_multi_turn(post, model):
    said = [
        message("user", "My name is Alice."),
        message("assistant", "Hello Alice! Nice to meet you."),
        message("user", "What is my name?"),
    ]
    completed(post(input=said))
    assert len(model.requests[0].turns) == 3


def completed_event(event):
    assert event["type"] == "response.completed", event
    assert event["response"]["status"] == "completed"
    return event["response"]


def missing(event):
    assert event["status"] == 400
    assert event["error"]["code"] == "previous_response_not_found"


def test_websocket_response(connect):
    connection = connect()
    connection.send(input=[message("user", "Count from 1 to 3.")])
    events = connection.events()
    assert events[0]["type"] == "response.created"
    completed_event(events[-1])


def test_websocket_sequential_responses(connect, model):
    model.script(Reply(["first"]), Reply(["second"]))
    connection = connect()
    for word in ("first", "second"):
        response = completed_event(connection.ask(f"Reply with {word}", store=False))
        assert response["output"][0]["content"][0]["text"] == word


def test_websocket_continuation(connect, model):
    connection = connect()
    first = completed_event(connection.ask("The code word: cobalt.", store=False))
    completed_event(
        connection.ask("Which?", store=False, previous_response_id=first["id"])
    )
    assert next(text for _, text in model.requests[1].turns) == "The code word: cobalt."


@pytest.mark.soak
def test_websocket_reconnect_store_false_recovery(connect):
    first = completed_event(connect().ask("The code word: copper.", store=False))
    connection = connect()
    missing(connection.ask("Go on", store=False, previous_response_id=first["id"]))
    completed_event(connection.ask("Start anew", store=False))


def test_websocket_previous_response_not_found(connect):
    missing(connect().ask("Go on", store=False, previous_response_id="resp_missing"))


def test_websocket_failed_continuation_evicts_cache(connect):
    connection = connect()
    first = completed_event(connection.ask("The code word: ember.", store=False))
    output = {"type": "function_call_output", "call_id": "call_missing", "output": "x"}
    failed = connection.ask([output], store=False, previous_response_id=first["id"])
    assert failed["status"] == 400
    missing(connection.ask("Go on", store=False, previous_response_id=first["id"]))


@pytest.mark.soak
def test_websocket_compact_new_chain(post, connect, model):
    said = [
        message("user", [{"type": "input_text", "text": "The code word: slate."}]),
        message("assistant", [{"type": "output_text", "text": "OK."}]),
        message("user", [{"type": "input_text", "text": "Compress this."}]),
    ]
    model.script(Reply(["The code word is slate."]))
    compacted = post("responses/compact", input=said)
    assert compacted.status_code == 200, compacted.text
    question = message("user", "Continue from here.")
    connection = connect()
    connection.send(input=[*compacted.json()["output"], question], store=False)
    completed_event(connection.events()[-1])
    assert "The code word is slate." in model.requests[1].turns[0][1]


def test_compact_response(post):
    said = [
        message("user", "We agreed to launch on Tuesday."),
        message("assistant", "Understood. The launch is Tuesday."),
    ]
    answer = post("responses/compact", input=said, prompt_cache_key="a-test")
    assert answer.status_code == 200, answer.text
    compacted = answer.json()
    assert compacted["object"] == "response.compaction"
    assert "compaction" in [item["type"] for item in compacted["output"]]


def test_compact_missing_model(gateway):
    with http(gateway) as client:
        body = {"input": [message("user", "Compact this conversation.")]}
        answer = client.post("responses/compact", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"
