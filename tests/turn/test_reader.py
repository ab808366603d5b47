"""The events of a turn, from messages as the CLI sends them."""

from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code import protocol as p
from claude_nb_gateway.claude_code.turns import Conversation, FieldNames, Setup, Tool
from claude_nb_gateway.errors import ConstraintUnmet, UpstreamError
from claude_nb_gateway.turn.events import (
    CallArguments,
    CallEnded,
    CallStarted,
    Corrected,
    Ended,
    LimitsChanged,
    SessionStarted,
    Started,
    Text,
    Thinking,
    ToolEnded,
    ToolStarted,
    merged,
)
from claude_nb_gateway.turn.reader import TurnReader

F = Tool("f", "", "{}")


def event(event):
    return p.StreamEvent(event)


def start(message_id="m1", model="claude-x"):
    return event(p.MessageStart(p.ApiMessage(model=model, id=message_id)))


def text(text):
    return event(p.ContentBlockDelta(0, p.Delta("text_delta", text=text)))


def thinking(text):
    return event(p.ContentBlockDelta(0, p.Delta("thinking_delta", thinking=text)))


def stop(reason="end_turn"):
    return event(p.MessageDelta(p.Delta(stop_reason=reason), p.Usage(3, 4)))


def whole(text, message_id="m1", **options):
    content = [{"type": "text", "text": text}]
    return p.Assistant(p.ApiMessage("claude-x", message_id, content), **options)


def result(reason="end_turn"):
    return p.Result(stop_reason=reason, usage=p.Usage(3, 4))


def block(index=0, **fields):
    return event(p.ContentBlockStart(index, fields))


def written(json):
    return event(p.ContentBlockDelta(0, p.Delta("input_json_delta", partial_json=json)))


BLOCK_STOP = event(p.ContentBlockStop(0))


def call(call_id="c1", name="mcp__client__f"):
    return block(type="tool_use", id=call_id, name=name)


def events_of(*messages, streamed=True, **options):
    setup = {name: options.pop(name) for name in ("tools", "schema") if name in options}
    asked = Conversation(Setup("sonnet", **setup), (), **options)
    reader = TurnReader(asked, streamed=streamed)
    return [event for message in messages for event in reader.feed(message)]


def said(*messages, **options):
    events = events_of(*messages, **options)
    return "".join(event.text for event in events if isinstance(event, Text))


def ended(*messages, **options):
    (event,) = [e for e in events_of(*messages, **options) if isinstance(e, Ended)]
    return event


def test_answer_starts_grows_and_ends():
    messages = (start(), text("a"), text("b"), whole("ab"), stop(), result())
    assert events_of(*messages) == [
        Started("claude-x", p.Usage()),
        Text("a"),
        Text("b"),
        Ended("end_turn", p.Usage(3, 4)),
    ]


def test_nothing_starts_before_the_model_speaks():
    init = p.System(subtype="init", session_id="s1")
    assert events_of(init, p.System(subtype="status", session_id="s1")) == [
        SessionStarted("s1")
    ]


def test_end_names_session_and_cost():
    cost = p.Result(stop_reason="end_turn", total_cost_usd=0.5)
    event = ended(p.System(subtype="init", session_id="s1"), start(), cost)
    assert (event.session_id, event.cost_usd) == ("s1", 0.5)


def test_thinking_is_told_apart_from_text():
    events = events_of(start(), thinking("hm"), text("a"))
    assert events[1:] == [Thinking("hm"), Text("a")]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "max_tokens"),
        ("refusal", "refusal"),
        ("end_turn", "end_turn"),
        (None, "end_turn"),
    ],
)
def test_reasons_of_the_end(reason, expected):
    assert ended(start(), text("a"), stop(reason), result(reason)).reason == expected


def test_cut_off_answer_ends_before_the_cli_goes_on():
    messages = (start(), text("a"), stop("max_tokens"), start("m2"), text("b"))
    assert said(*messages) == "a"
    assert ended(*messages).usage.output_tokens == 4


def test_what_came_without_streaming_is_told_once():
    assert said(whole("abc"), result()) == "abc"
    assert said(start(), text("ab"), whole("abcd", "m2"), result()) == "abcd"


def test_stream_begun_anew_is_not_told_twice():
    messages = (start(), text("ab"), start("m2"), text("a"), text("bcd"), stop())
    assert said(*messages, result()) == "abcd"


def test_stream_broken_twice_is_not_told_twice():
    again = (start("m2"), text("ab"), start("m3"), text("abcdef"), stop())
    assert said(start(), text("abcd"), *again, result()) == "abcdef"


def test_stream_begun_anew_differently_is_an_error():
    with pytest.raises(UpstreamError):
        events_of(start(), text("ab"), start("m2"), text("x"))


def test_stream_begun_anew_and_shorter_is_an_error():
    with pytest.raises(UpstreamError):
        events_of(start(), text("abc"), start("m2"), text("a"), stop())


def test_stream_begun_anew_after_a_call_is_an_error():
    with pytest.raises(UpstreamError):
        events_of(start(), call(), start("m2"), tools=(F,))


def test_text_of_the_cli_itself_is_no_answer():
    assert said(start(), whole("API Error", error="server_error"), result()) == ""


def test_sub_agents_are_not_heard():
    message = whole("x", parent_tool_use_id="toolu_1")
    assert said(start(), message, result()) == ""


def test_character_split_between_deltas_arrives_whole():
    messages = (start(), text("a\ud83d"), text("\ude00b"), stop(), result())
    assert events_of(*messages)[1:3] == [Text("a"), Text("😀b")]


def test_half_a_character_alone_does_not_break_the_answer():
    assert said(start(), text("a\udc00b"), stop(), result()) == "a\ufffdb"


def test_texts_of_several_messages_are_paragraphs_where_claude_uses_tools():
    messages = (start(), text("a"), stop("tool_use"), start("m2"), text("b"), stop())
    assert said(*messages, result(), session_id="s1") == "a\n\nb"
    assert said(*messages, result()) == "ab"


def test_call_of_a_function_has_the_clients_name():
    messages = (start(), call(), written('{"a":'), written("1}"), BLOCK_STOP)
    assert events_of(*messages, stop("tool_use"), tools=(F,))[1:] == [
        CallStarted("c1", "f"),
        CallArguments('{"a":'),
        CallArguments("1}"),
        CallEnded(),
        Ended("tool_use", p.Usage(3, 4, 0, 0, {})),
    ]


def test_call_without_arguments_has_an_empty_object():
    events = events_of(start(), call(), BLOCK_STOP, tools=(F,))
    assert events[1:] == [CallStarted("c1", "f"), CallArguments("{}"), CallEnded()]


def test_tools_of_claude_code_are_told_with_their_results():
    use = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    answer = {"type": "tool_result", "tool_use_id": "t1", "content": "a.py"}
    used = p.Assistant(p.ApiMessage(id="m1", content=[use]))
    inner = p.Assistant(p.ApiMessage(id="m2", content=[{**use, "id": "t2"}]), "t1")
    refused = {**answer, "tool_use_id": "t2", "is_error": True}
    events = events_of(
        start(),
        call("t1", "Bash"),
        used,
        inner,
        p.User({"content": [refused]}, "t1"),
        p.User({"content": [answer]}),
    )
    assert events[1:] == [
        ToolStarted("t1", "Bash", {"command": "ls"}),
        ToolStarted("t2", "Bash", {"command": "ls"}, "t1"),
        ToolEnded("t2", "a.py", True, "t1"),
        ToolEnded("t1", "a.py"),
    ]


def test_result_of_a_clients_function_is_no_tools():
    answer = {"type": "tool_result", "tool_use_id": "c1", "content": "r"}
    message = p.User({"content": [answer, "no block"]})
    assert events_of(message, p.User({"content": "text"})) == []


def test_limits_and_corrections_are_told():
    limits = p.RateLimits("allowed")
    corrected = Corrected("tool_choice")
    events = events_of(p.RateLimitEvent(limits), corrected)
    assert events == [LimitsChanged(limits), corrected]


def test_stop_sequence_ends_the_answer_and_is_not_told():
    messages = (start(), text("one ST"), text("OP two"), stop(), result())
    events = events_of(*messages, stop=("STOP",))
    assert events[1:] == [
        Text("one "),
        Ended("stop_sequence", p.Usage(output_tokens=2), "STOP"),
    ]


def test_what_may_begin_a_stop_sequence_comes_at_the_end():
    messages = (start(), text("one ST"), stop(), result())
    assert said(*messages, stop=("STOP",)) == "one ST"


WRITES = (
    start(),
    text("words beside it"),
    block(type="tool_use", id="o1", name=p.STRUCTURED_OUTPUT),
    written('{"a":'),
    written("1}"),
    stop("tool_use"),
)
MATCHES = p.Result(stop_reason="end_turn", structured_output={"a": 1})


def test_answer_with_a_schema_is_passed_on_while_it_is_written():
    events = events_of(*WRITES, MATCHES, schema="{}")
    assert events[1:-1] == [Text('{"a":'), Text("1}")]


def test_whole_answer_with_a_schema_is_told_once_it_matches():
    events = events_of(*WRITES, MATCHES, schema="{}", streamed=False)
    assert events[1:-1] == [Text('{"a":1}')]


@pytest.mark.parametrize("streamed", [True, False])
def test_answer_without_its_schema_names_the_field(streamed):
    with pytest.raises(ConstraintUnmet) as error:
        events_of(
            *WRITES,
            result(),
            schema="{}",
            streamed=streamed,
            names=FieldNames(answer="text.format"),
        )
    assert error.value.param == "text.format"


def test_merging_joins_what_only_adds():
    events = [
        Thinking("h"),
        Thinking("m"),
        Text("a"),
        Text("b"),
        CallStarted("c1", "f"),
        CallArguments("{"),
        CallArguments("}"),
        CallEnded(),
        CallStarted("c2", "f"),
        CallArguments("{}"),
    ]
    assert merged(events) == [
        Thinking("hm"),
        Text("ab"),
        CallStarted("c1", "f"),
        CallArguments("{}"),
        CallEnded(),
        CallStarted("c2", "f"),
        CallArguments("{}"),
    ]
