"""Ids of calls that are used again, or say nothing: no result is lost."""

from __future__ import annotations

import anthropic
import openai
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse

from .resources import CHAT, http
from .test_tools import (
    NAME,
    WEATHER,
    chat,  # noqa: F401 - a fixture
    echoed,
    message_of,
    result,
    text_in,
    tool_results,
    user,
)

IDS = ["call_0", "get_weather", "", "weather in Oslo?"]


def called(*ids):
    function = {"name": "get_weather", "arguments": "{}"}
    calls = [{"id": i, "type": "function", "function": function} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def told(model):
    """The ids of calls and results, and the texts of the results, as they arrived."""
    request = model.requests[-1]
    uses = [
        block["id"]
        for turn in request.messages
        if isinstance(turn["content"], list)
        for block in turn["content"]
        if block["type"] == "tool_use"
    ]
    results = tool_results(request)
    return uses, [b["tool_use_id"] for b in results], [text_in(b) for b in results]


def check_all_told(model, *texts):
    uses, answered, said = told(model)
    assert said == list(texts)
    assert uses == answered
    assert len(set(uses)) == len(uses)


@pytest.mark.soak
@pytest.mark.parametrize("call_id", IDS)
def test_the_same_id_in_each_turn(chat, model, call_id):  # noqa: F811
    rounds = [user("x"), called(call_id), result(call_id, "one")]
    rounds += [called(call_id), result(call_id, "two"), user("y")]
    rounds += [called(call_id), result(call_id, "three")]
    chat(*rounds)
    check_all_told(model, "one", "two", "three")


@pytest.mark.soak
@pytest.mark.parametrize("call_id", IDS)
def test_the_same_id_for_calls_at_once(chat, model, call_id):  # noqa: F811
    results = [result(call_id, "one"), result(call_id, "two")]
    chat(user("x"), called(call_id, call_id), *results)
    check_all_told(model, "one", "two")


def test_more_results_than_calls_are_refused(chat):  # noqa: F811
    results = [result("c", "one"), result("c", "two"), result("c", "three")]
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("x"), called("c", "c"), *results)
    assert error.value.param == "messages[4].tool_call_id"


@pytest.mark.soak
def test_a_model_that_gives_the_same_id_each_time(chat, model):  # noqa: F811
    messages = [user("weather?")]
    for leg in range(3):
        model.script(Reply(tool_uses=[ToolUse(NAME, id="call_0")]))
        message = message_of(chat(*messages))
        assert [made.id for made in message.tool_calls] == ["call_0"]
        messages += [echoed(message), result("call_0", f"result {leg}")]
    model.script(Reply(["done"]))
    assert message_of(chat(*messages)).content == "done"
    check_all_told(model, "result 0", "result 1", "result 2")


@pytest.mark.soak
def test_a_model_that_gives_the_same_id_at_once(chat, model):  # noqa: F811
    model.script(Reply(tool_uses=[ToolUse(NAME, id="c"), ToolUse(NAME, id="c")]))
    message = message_of(chat(user("weather?")))
    model.script(Reply(["done"]))
    results = [result("c", "one"), result("c", "two")]
    assert message_of(chat(user("weather?"), echoed(message), *results)).content
    check_all_told(model, "one", "two")


def test_a_session_says_that_it_cannot_take_the_same_id_again(gateway, model):
    model.responder = lambda request: Reply(tool_uses=[ToolUse(NAME, id="c")])
    with http(gateway) as client:
        session = client.post("sessions", json={}).json()["id"]

        def ask(*messages):
            body = {"model": "sonnet", "messages": messages, "tools": [WEATHER]}
            return client.post(CHAT, json={**body, "session_id": session})

        message = ask(user("weather?")).json()["choices"][0]["message"]
        answer = ask(user("weather?"), message, result("c", "one"))
    assert answer.status_code == 502, answer.text
    assert "'c'" in answer.json()["error"]["message"]


def test_responses_with_the_same_call_id(client, model):
    call = {"type": "function_call", "name": "get_weather", "arguments": "{}"}
    output = {"type": "function_call_output"}
    items = [{"role": "user", "content": "x"}]
    for text in ("one", "two"):
        items += [{**call, "call_id": "c"}, {**output, "call_id": "c", "output": text}]
    function = {"type": "function", **WEATHER["function"]}
    client.responses.create(model="sonnet", input=items, tools=[function])
    check_all_told(model, "one", "two")


def test_messages_with_the_same_tool_use_id(gateway, model):
    messages = [user("x")]
    for text in ("one", "two"):
        use = {"type": "tool_use", "id": "c", "name": "get_weather", "input": {}}
        answer = {"type": "tool_result", "tool_use_id": "c", "content": text}
        messages.append({"role": "assistant", "content": [use]})
        messages.append({"role": "user", "content": [answer]})
    function = WEATHER["function"]
    tool = {"name": "get_weather", "input_schema": function["parameters"]}
    url = gateway.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=url, api_key=gateway.key) as client:
        client.messages.create(
            model="sonnet", max_tokens=50, messages=messages, tools=[tool]
        )
    check_all_told(model, "one", "two")
