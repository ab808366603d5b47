"""What the CLI cannot be told about calls, with a model that does not obey."""

from __future__ import annotations

import openai
import pytest

from claude_nb_gateway.demo.model import Reply

from .test_tools import WEATHER, call, echoed, message_of, result, sessions, user

TIME = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object"}},
}
NAMED = {"type": "function", "function": {"name": "get_time"}}
TIME_CALL = {"name": "mcp__client__get_time", "fragments": ("{}",)}


@pytest.fixture
def chat(client):
    """A raw answer: its headers count too."""

    def chat(*messages, **options):
        options = {"tools": [WEATHER, TIME], **options}
        return client.chat.completions.with_raw_response.create(
            model="sonnet", messages=list(messages), **options
        )

    return chat


def corrected(response):
    return response.headers.get("x-corrected-parameters")


def names(message):
    return [made.function.name for made in message.tool_calls or []]


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_model_that_calls_is_asked_once(chat, model, choice):
    model.script(Reply(["Let me see."], tool_uses=[call(**TIME_CALL)]))
    response = chat(user("time?"), tool_choice=choice)
    message = message_of(response.parse())
    assert names(message) == ["get_time"]
    assert message.content == "Let me see."
    assert corrected(response) is None
    assert len(model.requests) == 1
    assert "You must call" in model.requests[0].system


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_model_that_only_talks_is_told_once_more(chat, model, choice, stream):
    model.script(Reply(["No."]), Reply(["Well."], tool_uses=[call(**TIME_CALL)]))
    response = chat(user("time?"), tool_choice=choice, stream=stream)
    assert corrected(response) == "tool_choice"
    assert len(model.requests) == 2
    if stream:
        deltas = [chunk.choices[0].delta for chunk in response.parse()]
        assert "".join(delta.content or "" for delta in deltas) == "Well."
        assert [d.tool_calls[0].function.name for d in deltas if d.tool_calls] == [
            "get_time",
            None,
        ]
    else:
        message = message_of(response.parse())
        assert message.content == "Well."
        assert names(message) == ["get_time"]


@pytest.mark.soak
@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_will_not_call_is_an_error(chat, model, stream):
    model.responder = lambda request: Reply(["No."])
    with pytest.raises(openai.InternalServerError) as error:
        chat(user("time?"), tool_choice="required", stream=stream)
    assert error.value.code == "constraint_unmet"
    assert len(model.requests) == 2


def test_another_function_than_the_named_is_not_passed_on(chat, model):
    model.script(Reply(tool_uses=[call()]), Reply(tool_uses=[call(2, **TIME_CALL)]))
    response = chat(user("time?"), tool_choice=NAMED)
    assert names(message_of(response.parse())) == ["get_time"]
    assert corrected(response) == "tool_choice"
    assert len(model.requests) == 2


@pytest.mark.soak
def test_calls_after_a_correction_are_answered_and_leave_no_trace(chat, model):
    model.script(Reply(["No."]), Reply(tool_uses=[call()]), Reply(tool_uses=[call(2)]))
    model.script(Reply(["Rain, then sun."]))
    options = {"tool_choice": "required"}
    message = message_of(chat(user("weather?"), **options).parse())
    messages = [user("weather?"), echoed(message), result("toolu_1", "rain")]
    message = message_of(chat(*messages, **options).parse())
    assert len(set(sessions(model))) == 1
    messages += [echoed(message), result("toolu_2", "sun")]
    answer = chat(*messages, tool_choice="auto").parse()
    assert message_of(answer).content == "Rain, then sun."
    assert "You must call" not in str(model.requests[-1].messages)


def test_none_offers_no_functions(chat, model):
    chat(user("hi"), tool_choice="none")
    assert not model.requests[0].body.get("tools")


@pytest.fixture
def called(model):
    """A conversation in which a function was called."""
    made = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    assistant = {"role": "assistant", "content": None, "tool_calls": [made]}
    return [user("weather?"), assistant, result("c1", "rain")]


def test_none_after_calls_refuses_further_ones(chat, model, called):
    model.script(Reply(["Hm. "], tool_uses=[call()]), Reply(["Rain."]))
    response = chat(*called, tool_choice="none")
    message = message_of(response.parse())
    assert message.content == "Hm. Rain."
    assert message.tool_calls is None
    assert corrected(response) == "tool_choice"
    assert len(model.requests) == 2


def test_none_and_a_model_that_calls_all_the_same(chat, model, called):
    model.responder = lambda request: Reply(
        tool_uses=[call(1000 + len(model.requests))]
    )
    with pytest.raises(openai.InternalServerError) as error:
        chat(*called, tool_choice="none")
    assert error.value.code == "constraint_unmet"
    assert len(model.requests) == 2


def test_one_call_at_a_time(chat, model):
    model.script(Reply(tool_uses=[call(1), call(2)]), Reply(["Rain."]))
    options = {"parallel_tool_calls": False}
    message = message_of(chat(user("weather?"), **options).parse())
    assert [made.id for made in message.tool_calls] == ["toolu_1"]
    messages = [user("weather?"), echoed(message), result("toolu_1", "rain")]
    answer = chat(*messages, **options).parse()
    assert message_of(answer).content == "Rain."
    assert len(model.requests) == 2
    assert len(set(sessions(model))) == 1
    messages += [echoed(message_of(answer)), user("thanks")]
    chat(*messages, **options)
    assert "toolu_2" not in str(model.requests[-1].messages)


def test_an_answer_that_was_cut_is_passed_on(chat, model):
    model.script(Reply(["No"], stop_reason="max_tokens"))
    answer = chat(user("time?"), tool_choice="required").parse()
    assert answer.choices[0].finish_reason == "length"
    assert message_of(answer).content == "No"


STRICT = {
    "type": "function",
    "function": {
        "name": "get_time",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string"}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}


def arguments(response, stream):
    """Those of all calls of the answer, joined."""
    if not stream:
        (made,) = message_of(response.parse()).tool_calls
        return made.function.arguments
    deltas = [chunk.choices[0].delta for chunk in response.parse()]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    return "".join(call.function.arguments or "" for call in calls)


WRONG = {"name": "mcp__client__get_time", "fragments": ('{"zo', 'ne": 1}')}
RIGHT = {"name": "mcp__client__get_time", "fragments": ('{"zone": ', '"CET"}')}


@pytest.mark.soak
@pytest.mark.parametrize("stream", [True, False])
def test_strict_arguments_that_match_pass(chat, model, stream):
    model.script(Reply(["Let me see."], tool_uses=[call(**RIGHT)]))
    response = chat(user("time?"), tools=[STRICT], stream=stream)
    assert corrected(response) is None
    assert arguments(response, stream) == '{"zone": "CET"}'
    assert len(model.requests) == 1


@pytest.mark.soak
@pytest.mark.parametrize("stream", [True, False])
def test_strict_arguments_that_do_not_match_are_made_again(chat, model, stream):
    model.script(
        Reply(tool_uses=[call(1, **WRONG)]),
        Reply(tool_uses=[call(2, **RIGHT)]),
    )
    response = chat(user("time?"), tools=[STRICT], stream=stream)
    assert arguments(response, stream) == '{"zone": "CET"}'
    assert corrected(response) == "tools"
    assert "not of type 'string'" in str(model.requests[1].messages[-1])


def test_strict_arguments_that_never_match_are_an_error(chat, model):
    model.script(
        Reply(tool_uses=[call(1, **WRONG)]),
        Reply(tool_uses=[call(2, **WRONG)]),
    )
    with pytest.raises(openai.InternalServerError) as error:
        chat(user("time?"), tools=[STRICT])
    assert error.value.code == "constraint_unmet"


def test_results_of_strict_calls_go_on_in_their_process(chat, model, gateway):
    model.script(Reply(tool_uses=[call(**RIGHT)]), Reply(["late"]))
    first = message_of(chat(user("time?"), tools=[STRICT]).parse())
    second = chat(
        user("time?"),
        echoed(first),
        result(first.tool_calls[0].id, "12:00"),
        tools=[STRICT],
    )
    assert message_of(second.parse()).content == "late"
    assert len(set(sessions(model))) == 1


def nested_references(depth):
    """A schema of which each reference leads to two more."""
    definitions = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
        for level in range(depth)
    }
    properties = {"a": {"$ref": "#/$defs/d0"}}
    last = {f"d{depth}": {"type": "string"}}
    return {"type": "object", "properties": properties, "$defs": definitions | last}


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("schema", [nested_references(40), nested(200)])
def test_schema_that_is_too_much_is_refused(chat, schema, strict):
    function = {"name": "f", "strict": strict, "parameters": schema}
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("q"), tools=[{"type": "function", "function": function}])
    assert error.value.param == "tools[0].function.parameters"


@pytest.mark.soak
def test_arguments_that_take_too_long_to_check_are_refused(chat, model):
    schema = {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}
    function = {"name": "f", "strict": True, "parameters": schema}
    arguments = f'{{"a": "{"a" * 40}b"}}'
    model.script(Reply(tool_uses=[call(name="mcp__client__f", fragments=(arguments,))]))
    with pytest.raises(openai.BadRequestError, match="too long to check"):
        chat(user("q"), tools=[{"type": "function", "function": function}])
    model.script(Reply(["Here."]))
    assert message_of(chat(user("still there?")).parse()).content == "Here."


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "king"}}},
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/x"}}},
        nested_references(40),
    ],
)
def test_strict_schema_that_cannot_be_checked_is_refused(chat, schema):
    function = {"name": "f", "strict": True, "parameters": schema}
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("q"), tools=[{"type": "function", "function": function}])
    assert error.value.param.startswith("tools[0].function.parameters")


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_allowed_tools_are_called(chat, model, mode):
    model.script(Reply(tool_uses=[call()]), Reply(tool_uses=[call(2, **TIME_CALL)]))
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": [NAMED]},
    }
    response = chat(user("time?"), tool_choice=choice)
    assert names(message_of(response.parse())) == ["get_time"]
    assert corrected(response) == "tool_choice"


def test_words_are_an_answer_where_tools_are_only_allowed(chat, model):
    model.script(Reply(["No need."]))
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [NAMED]},
    }
    message = message_of(chat(user("time?"), tool_choice=choice).parse())
    assert message.content == "No need."
    assert len(model.requests) == 1
