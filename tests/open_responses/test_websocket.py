"""The Responses API on a WebSocket, against the real CLI."""

from __future__ import annotations

import json

import httpx2
import openai
import pytest
import websocket

from claude_nb_gateway.demo.model import Reply

from ..api.resources import http, make_key, make_project, runtime_file
from ..api.test_tools import call, sessions


def test_events_are_those_of_a_stream(connect, client, model):
    model.script(Reply(["Good ", "day"]), Reply(["Good ", "day"]))
    connection = connect()
    connection.send(input="hello")
    frames = [event["type"] for event in connection.events()]
    stream = client.responses.create(model="sonnet", input="hello", stream=True)
    assert frames == [event.type for event in stream]


def test_what_is_stored_is_there_for_everybody_of_the_caller(connect, client):
    connection = connect()
    response = connection.ask("1")["response"]
    assert client.responses.retrieve(response["id"]).output_text
    again = connect().ask("2", previous_response_id=response["id"])
    assert again["response"]["previous_response_id"] == response["id"]


@pytest.mark.soak
def test_what_is_not_stored_is_there_for_its_connection_alone(connect, client):
    connection = connect()
    response = connection.ask("1", store=False)["response"]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response["id"])
    with pytest.raises(openai.BadRequestError):
        client.responses.create(
            model="sonnet", input="2", previous_response_id=response["id"]
        )
    item = {"type": "item_reference", "id": response["output"][0]["id"]}
    question = {"role": "user", "content": "?"}
    assert connection.ask([question, item, question])["type"] == "response.completed"


def test_functions_are_answered_on_the_process_that_waits(connect, model):
    model.script(Reply(tool_uses=[call(1)]), Reply(["It is cold."]))
    weather = {"type": "function", "name": "get_weather", "parameters": {}}
    connection = connect()
    asked = connection.ask("weather?", tools=[weather], store=False)["response"]
    output = {
        "type": "function_call_output",
        "call_id": asked["output"][0]["call_id"],
        "output": "-3 C",
    }
    last = connection.ask(
        [output], tools=[weather], store=False, previous_response_id=asked["id"]
    )
    assert last["response"]["output"][0]["content"][0]["text"] == "It is cold."
    assert len(set(sessions(model))) == 1


def test_warming_up_asks_nothing_of_the_model(connect, model):
    connection = connect()
    warm = connection.ask("the question", generate=False, store=False)["response"]
    assert warm["output"] == []
    assert warm["status"] == "completed"
    assert model.requests == []
    connection.ask([], previous_response_id=warm["id"], store=False)
    assert [text for _, text in model.requests[0].turns] == ["the question"]


def test_messages_wait_for_their_turn(connect, model):
    model.script(Reply(["one"], first_delay_seconds=0.2), Reply(["two"]))
    connection = connect()
    connection.send(input="1")
    connection.send(input="2")
    said = [connection.events()[-1]["response"]["output"][0] for _ in range(2)]
    assert [item["content"][0]["text"] for item in said] == ["one", "two"]


def test_too_many_messages_end_the_connection(connect, model):
    model.script(Reply(["never"], hang="before"))
    connection = connect()
    for number in range(20):
        connection.send(input=str(number))
    assert connection.closed() == 1008


def test_turn_ends_with_its_connection(connect, model):
    model.script(Reply(["never"], hang="before"))
    connection = connect()
    connection.send(input="hello")
    model.wait_for_request()
    connection.socket.shutdown()
    assert model.requests[0].abandoned.wait(10)


def test_response_is_cancelled_and_the_connection_goes_on(connect, client, model):
    model.script(Reply(["some"], hang="after"), Reply(["more"]))
    connection = connect()
    connection.send(input="hello")
    created = connection.receive()
    model.wait_for_request()
    assert client.responses.cancel(created["response"]["id"]).status == "cancelled"
    assert connection.events()[-1]["response"]["status"] == "cancelled"
    assert connection.ask("again")["type"] == "response.completed"


def test_failure_of_the_model_is_an_error_with_its_status(connect, model):
    model.responder = lambda request: Reply(status=400, message="scripted")
    event = connect().ask("hello")
    assert event["type"] == "error"
    assert event["status"] == 400
    assert "scripted" in event["error"]["message"]


def test_failure_in_mid_stream_is_the_last_event_and_evicts(connect, model):
    model.script(
        Reply(["one"]), Reply(["some ", "words"], delay_seconds=0.01, drop_after=1)
    )
    connection = connect()
    first = connection.ask("1", store=False)["response"]["id"]
    failed = connection.ask("2", store=False, previous_response_id=first)
    assert failed["type"] == "response.failed"
    again = connection.ask("3", store=False, previous_response_id=first)
    assert again["error"]["code"] == "previous_response_not_found"


@pytest.mark.soak
@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"type": "response.steer"}, "type"),
        ({"stream": False}, "stream"),
        ({"background": True}, "background"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
def test_what_cannot_be_honoured_names_its_field(connect, sent, param):
    connection = connect()
    connection.send(**{"input": "hello", **sent})
    event = connection.receive()
    assert event["status"] == 400
    assert event["error"]["param"] == param
    assert connection.ask("hello")["type"] == "response.completed"


@pytest.mark.parametrize("data", ["{", "[]", '"x"', "\x00", "[" * 100_000])
def test_what_is_no_json_object_is_an_error(connect, data):
    connection = connect()
    connection.socket.send(data)
    assert connection.receive()["status"] == 400


def test_a_mistaken_continuation_evicts_too(connect):
    connection = connect()
    first = connection.ask("1", store=False)["response"]["id"]
    wrong = connection.ask("2", previous_response_id=first, temperature="hot")
    assert wrong["status"] == 400
    again = connection.ask("3", previous_response_id=first)
    assert again["error"]["code"] == "previous_response_not_found"


@pytest.mark.soak
def test_what_codex_says_besides_is_let_be(connect):
    connection = connect()
    connection.send(input="hello", stream=True, background=False)
    assert connection.events()[-1]["type"] == "response.completed"
    connection.send(type="response.processed", response_id="resp_1")
    assert connection.ask("hello")["type"] == "response.completed"


def test_fields_without_effect_are_reported(connect):
    connection = connect()
    connection.send(input="hello", temperature=0.5)
    told = [e for e in connection.events() if e["type"].endswith(":headers")]
    assert [event["headers"] for event in told] == [
        {"X-Ignored-Parameters": "temperature"}
    ]


def test_project_is_that_of_the_address(connect, gateway):
    (gateway.directory / "sockets").mkdir()
    connection = connect(path="/projects/sockets")
    connection.send(input="hello")
    told = [e for e in connection.events() if e["type"].endswith(":headers")]
    session = told[0]["headers"]["X-Claude-Session"]
    with http(gateway) as plain:
        record = plain.get(f"sessions/{session}").json()
    assert record["project_id"]


def refused(connect, status, **options):
    with pytest.raises(websocket.WebSocketBadStatusException) as error:
        connect(**options)
    assert error.value.status_code == status
    return json.loads(error.value.resp_body)["error"]


def test_plain_get_is_told_what_is_there(gateway):
    headers = {"Authorization": f"Bearer {gateway.key}"}
    answer = httpx2.get(f"{gateway.base_url}/responses", headers=headers)
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.json()["error"]["code"] == "upgrade_required"
    assert httpx2.get(f"{gateway.base_url}/responses").status_code == 401


def test_wrong_key_opens_nothing(connect):
    assert refused(connect, 401, key="wrong")["code"] == "invalid_api_key"


def test_pages_of_other_origins_are_refused(connect, standalone_gateway):
    foreign = {"origin": "https://evil.example", "suppress_origin": False}
    error = refused(connect, 403, to=standalone_gateway, **foreign)
    assert error["code"] == "foreign_origin"
    error = refused(connect, 403, to=standalone_gateway, host="evil.example")
    assert error["code"] == "foreign_host"
    assert connect(standalone_gateway, key="none").ask("hello")


@pytest.mark.soak
def test_key_of_kernels_and_scoped_keys_open_it(connect, gateway, model):
    kernel = json.loads(runtime_file(gateway).read_text())["api_key"]
    assert connect(key=kernel).ask("hello")["type"] == "response.completed"
    key = make_key(gateway, model, "for a socket")
    assert connect(key=key).ask("hello")["type"] == "response.completed"


@pytest.mark.soak
def test_key_of_a_project_opens_that_alone(connect, gateway, model):
    (gateway.directory / "scoped-socket").mkdir()
    with http(gateway) as plain:
        make_project(plain, "scoped-socket")
    key = make_key(gateway, model, "one project", "--project", "scoped-socket")
    assert connect(key=key).ask("hello")["status"] == 403
    inside = connect(key=key, path="/projects/scoped-socket")
    assert inside.ask("hello")["type"] == "response.completed"
