"""Function calling with the real CLI, through the official client."""

from __future__ import annotations

import json

import openai
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
NAME = "mcp__client__get_weather"


def call(number=1, name=NAME, fragments=('{"city": ', '"Oslo"}')):
    return ToolUse(name, fragments, f"toolu_{number}")


def result(tool_call_id, content):
    return {"role": "tool", "tool_call_id": tool_call_id, "content": content}


def user(text):
    return {"role": "user", "content": text}


def echoed(message):
    """The assistant's message as clients send it back."""
    return message.model_dump(exclude_none=True)


@pytest.fixture
def chat(client):
    def chat(*messages, tools=(WEATHER,), **options):
        return client.chat.completions.create(
            model="sonnet", messages=list(messages), tools=list(tools), **options
        )

    return chat


def message_of(completion):
    return completion.choices[0].message


def sessions(model):
    return [request.headers["X-Claude-Code-Session-Id"] for request in model.requests]


def tool_results(request):
    return [
        block
        for turn in request.messages
        if isinstance(turn["content"], list)
        for block in turn["content"]
        if block["type"] == "tool_result"
    ]


def text_in(block):
    content = block["content"]
    return content if isinstance(content, str) else content[0]["text"]


def test_model_is_told_of_the_functions(chat, model):
    chat(user("hi"))
    (tool,) = [t for t in model.requests[0].body["tools"] if t["name"] == NAME]
    assert tool["description"] == "The weather in a city."
    assert tool["input_schema"]["properties"] == {
        "city": {"type": "string"},
        "days": {"type": "integer"},
    }
    assert len(model.requests[0].body["tools"]) == 1


def test_call_is_answered_on_the_same_process(chat, model):
    model.script(Reply(["Let me see."], tool_uses=[call()]), Reply(["Rain."]))
    first = chat(user("weather?"))
    assert first.choices[0].finish_reason == "tool_calls"
    message = message_of(first)
    assert message.content == "Let me see."
    (made,) = message.tool_calls
    assert made.type == "function"
    assert made.function.name == "get_weather"
    assert json.loads(made.function.arguments) == {"city": "Oslo"}
    second = chat(user("weather?"), echoed(message), result(made.id, "rain, 5°"))
    assert message_of(second).content == "Rain."
    assert second.choices[0].finish_reason == "stop"
    assert len(model.requests) == 2
    assert len(set(sessions(model))) == 1
    (block,) = tool_results(model.requests[1])
    assert text_in(block) == "rain, 5°"
    third = chat(
        user("weather?"),
        echoed(message),
        result(made.id, "rain, 5°"),
        echoed(message_of(second)),
        user("thanks"),
    )
    assert message_of(third).content == "thanks"
    assert len(set(sessions(model))) == 1


def test_call_is_streamed_as_it_is_written(chat, model):
    fragments = ('{"ci', 'ty": "Os', 'lo"}')
    model.script(Reply(["Well."], tool_uses=[call(fragments=fragments)]))
    chunks = list(chat(user("weather?"), stream=True))
    deltas = [c.choices[0].delta for c in chunks if c.choices[0].delta.tool_calls]
    (first, *rest) = [delta.tool_calls[0] for delta in deltas]
    assert (first.index, first.id, first.type) == (0, "toolu_1", "function")
    assert (first.function.name, first.function.arguments) == ("get_weather", "")
    assert [piece.function.arguments for piece in rest] == list(fragments)
    assert {piece.index for piece in rest} == {0}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_call_without_arguments_has_an_empty_object(chat, model):
    model.script(Reply(tool_uses=[call(fragments=())]))
    message = message_of(chat(user("weather?")))
    assert message.content is None
    assert message.tool_calls[0].function.arguments == "{}"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parallel_calls_are_answered_in_any_order(chat, model, order):
    model.script(Reply(tool_uses=[call(1), call(2), call(3)]), Reply(["done"]))
    message = message_of(chat(user("weather?")))
    assert [made.id for made in message.tool_calls] == ["toolu_1", "toolu_2", "toolu_3"]
    results = [result(f"toolu_{n}", f"result {n}") for n in order]
    answer = chat(user("weather?"), echoed(message), *results)
    assert message_of(answer).content == "done"
    assert len(model.requests) == 2
    assert len(set(sessions(model))) == 1
    told = {b["tool_use_id"]: text_in(b) for b in tool_results(model.requests[1])}
    assert told == {f"toolu_{n}": f"result {n}" for n in (1, 2, 3)}


@pytest.mark.soak
def test_many_parallel_calls(chat, model):
    calls = [call(number) for number in range(25)]
    model.script(Reply(tool_uses=calls), Reply(["done"]))
    message = message_of(chat(user("weather?")))
    results = [result(made.id, made.id) for made in message.tool_calls]
    answer = chat(user("weather?"), echoed(message), *results)
    assert message_of(answer).content == "done"
    told = {b["tool_use_id"]: text_in(b) for b in tool_results(model.requests[1])}
    assert told == {f"toolu_{n}": f"toolu_{n}" for n in range(25)}


def test_several_legs_stay_on_one_process(chat, model):
    messages = [user("weather?")]
    for leg in range(4):
        model.script(Reply(tool_uses=[call(leg)]))
        message = message_of(chat(*messages))
        messages += [echoed(message), result(f"toolu_{leg}", f"result {leg}")]
    model.script(Reply(["done"]))
    assert message_of(chat(*messages)).content == "done"
    messages += [{"role": "assistant", "content": "done"}, user("more")]
    assert message_of(chat(*messages)).content == "more"
    assert len(model.requests) == 6
    assert len(set(sessions(model))) == 1


@pytest.mark.soak
@pytest.mark.parametrize("length", [0, 1, 60_000, 400_000])
def test_result_arrives_verbatim(chat, model, length):
    text = ("0123456789 é\n" * (length // 10 + 1))[:length]
    model.script(Reply(tool_uses=[call()]), Reply(["done"]))
    message = message_of(chat(user("weather?")))
    answer = chat(user("weather?"), echoed(message), result("toolu_1", text))
    assert message_of(answer).content == "done"
    (block,) = tool_results(model.requests[-1])
    assert (text_in(block) if block["content"] else "") == text
    assert len(model.requests) == 2


PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+"
    "M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_image_as_a_result(chat, model):
    model.script(Reply(tool_uses=[call()]), Reply(["done"]))
    message = message_of(chat(user("weather?")))
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    content = [{"type": "text", "text": "look"}, picture]
    chat(user("weather?"), echoed(message), result("toolu_1", content))
    (block,) = tool_results(model.requests[1])
    assert [part["type"] for part in block["content"]] == ["text", "image"]
    assert block["content"][1]["source"]["media_type"] == "image/png"


def test_words_after_the_results_are_heard(chat, model):
    model.script(Reply(tool_uses=[call()]))
    message = message_of(chat(user("weather?")))
    results = [result("toolu_1", "rain"), user("in French")]
    answer = chat(user("weather?"), echoed(message), *results)
    assert message_of(answer).content == "in French"
    (block,) = tool_results(model.requests[1])
    assert text_in(block) == "rain"


def test_calls_that_no_process_holds_are_seeded_as_real_turns(chat, model):
    model.script(Reply(["done"]))
    made = {
        "id": "call_abc",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
    }
    answer = chat(
        user("weather?"),
        {"role": "assistant", "content": None, "tool_calls": [made]},
        result("call_abc", "rain"),
    )
    assert message_of(answer).content == "done"
    (request,) = model.requests
    assert [turn["role"] for turn in request.messages] == ["user", "assistant", "user"]
    (use,) = request.messages[1]["content"]
    assert use["type"] == "tool_use"
    assert (use["id"], use["name"]) == ("call_abc", NAME)
    assert use["input"] == {"city": "Oslo"}
    (block,) = tool_results(request)
    assert (block["tool_use_id"], text_in(block)) == ("call_abc", "rain")


@pytest.mark.soak
@pytest.mark.parametrize(
    "name", ["weather.in.city", "a" * 64, "wetter für", "a__b", "mcp__client__x"]
)
def test_any_name_goes_there_and_back(chat, model, name):
    function = {**WEATHER["function"], "name": name}
    tools = [{"type": "function", "function": function}]
    model.responder = lambda request: Reply(
        tool_uses=[call(name=request.body["tools"][0]["name"])]
    )
    message = message_of(chat(user("weather?"), tools=tools))
    assert message.tool_calls[0].function.name == name
    model.responder = lambda request: Reply(["done"])
    answer = chat(
        user("weather?"), echoed(message), result("toolu_1", "x"), tools=tools
    )
    assert message_of(answer).content == "done"
    assert len(set(sessions(model))) == 1


@pytest.mark.soak
def test_arguments_that_are_no_json_are_the_clients_to_judge(chat, model):
    model.script(Reply(tool_uses=[call(fragments=('{"city": ',))]))
    message = message_of(chat(user("weather?")))
    assert message.tool_calls[0].function.arguments == '{"city": '
    model.responder = lambda request: Reply(["sorry"])
    messages = [user("weather?"), echoed(message), result("toolu_1", "no JSON")]
    assert message_of(chat(*messages)).content == "sorry"
    (block,) = tool_results(model.requests[-1])
    assert text_in(block) == "no JSON"


@pytest.mark.soak
@pytest.mark.parametrize("length", [2_000, 30_000])
def test_no_word_of_a_description_is_lost(chat, model, length):
    description = "".join(f"{n} " for n in range(length))[:length]
    function = {**WEATHER["function"], "description": description}
    chat(user("hi"), tools=[{"type": "function", "function": function}])
    (tool,) = model.requests[0].body["tools"]
    assert description in (tool["description"], model.requests[0].system[-length:])
    assert "…" not in tool["description"].removesuffix("system prompt)")[:1_900]


def test_tool_that_does_not_exist_is_the_clis_affair(chat, model):
    model.script(Reply(tool_uses=[call(name="mcp__client__nothing")]), Reply(["sorry"]))
    answer = chat(user("weather?"))
    assert message_of(answer).content == "sorry"
    assert message_of(answer).tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


@pytest.fixture
def small(tmp_path, model):
    options = (
        "--CLIManager.max_processes=1",
        "--CLIManager.spare_processes=0",
        "--CLIManager.tool_result_timeout_seconds=0.2",
    )
    with running_gateway(tmp_path, model.url, *options) as gateway:
        yield gateway


@pytest.mark.soak
def test_results_that_come_late_are_answered_all_the_same(small, model):
    def ask(*messages):
        return client.chat.completions.create(
            model="sonnet", messages=list(messages), tools=[WEATHER]
        )

    with client_of(small) as client:
        model.script(Reply(tool_uses=[call()]), Reply(["done"]))
        message = message_of(ask(user("weather?")))
        (process,) = small.cli_processes
        process.wait(10)
        answer = ask(user("weather?"), echoed(message), result("toolu_1", "rain"))
    assert message_of(answer).content == "done"
    assert len(set(sessions(model))) == 2
    assert text_in(tool_results(model.requests[1])[0]) == "rain"


CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": "{}"},
}
ASSISTANT = {"role": "assistant", "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([user("x"), ASSISTANT, user("y")], "messages[1].tool_calls"),
        ([user("x"), ASSISTANT], "messages[1].tool_calls"),
        ([user("x"), result("c1", "y")], "messages[1].tool_call_id"),
        ([user("x"), ASSISTANT, result("c2", "y")], "messages[2].tool_call_id"),
        (
            [user("x"), ASSISTANT, result("c1", "y"), result("c1", "z")],
            "messages[3].tool_call_id",
        ),
    ],
)
def test_results_that_do_not_fit_are_refused(chat, messages, param):
    with pytest.raises(openai.BadRequestError) as error:
        chat(*messages)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "other"}}},
            "tool_choice",
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
    ],
)
def test_tools_that_cannot_be_honoured_are_refused(chat, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("hi"), **options)
    assert error.value.param == param
