from __future__ import annotations

import asyncio
import json

import pytest

from claude_nb_gateway.claude_code import protocol
from claude_nb_gateway.claude_code.turns import CallRule
from claude_nb_gateway.errors import ConstraintUnmet
from claude_nb_gateway.turn.tool_rules import CallFilter


def event(kind, **fields):
    return protocol.StreamEvent(kind(**fields))


def message(*names, text="words", stop_reason="tool_use"):
    """The messages of an answer with some text and calls of these tools."""
    yield event(protocol.MessageStart, message=protocol.ApiMessage(id="m"))
    blocks = [{"type": "text", "text": text}]
    blocks += [{"type": "tool_use", "id": f"{n}_id", "name": n} for n in names]
    for index, block in enumerate(blocks):
        yield event(protocol.ContentBlockStart, index=index, content_block=block)
        delta = protocol.Delta(type="any", text="x")
        yield event(protocol.ContentBlockDelta, index=index, delta=delta)
        yield protocol.Assistant(protocol.ApiMessage(id="m", content=[block]))
        yield event(protocol.ContentBlockStop, index=index)
    delta = protocol.Delta(stop_reason=stop_reason)
    yield event(protocol.MessageDelta, delta=delta)


def passed(calls, messages):
    async def feed():
        return [out for message in messages for out in await calls.feed(message)]

    return asyncio.run(feed())


async def mismatch(schema, value, param):
    """The one thing that these tests ask of a checker: whether there is an `a`."""
    return "" if "a" in json.loads(value) else "$: 'a' is a required property"


def called(messages):
    return [
        m.event.content_block["name"]
        for m in messages
        if isinstance(m, protocol.StreamEvent)
        and isinstance(m.event, protocol.ContentBlockStart)
        and m.event.content_block["type"] == "tool_use"
    ]


def make(**rule):
    return CallFilter(CallRule("Do it.", **rule), frozenset({"f", "g"}), mismatch)


def test_what_obeys_passes_whole_and_in_order():
    calls = make(required=True)
    messages = list(message("f", "g"))
    assert passed(calls, messages) == messages
    assert calls.satisfied
    assert not calls.refused


def test_text_is_held_until_there_is_a_call():
    calls = make(required=True)
    messages = list(message("f"))
    start_of_call = 5
    assert passed(calls, messages[:start_of_call]) == []
    assert passed(calls, [messages[start_of_call]]) == messages[: start_of_call + 1]


@pytest.mark.parametrize(
    ("rule", "shown", "refused"),
    [
        ({"one_at_a_time": True}, ["f"], ["g_id"]),
        ({"allowed": frozenset({"g"})}, ["g"], ["f_id"]),
        ({"allowed": frozenset()}, [], ["f_id", "g_id"]),
    ],
)
def test_calls_against_the_rule_are_hidden(rule, shown, refused):
    calls = make(**rule)
    out = passed(calls, message("f", "g"))
    assert called(out) == shown
    assert calls.refused == refused
    whole = [m.message.content[0] for m in out if isinstance(m, protocol.Assistant)]
    assert [b["name"] for b in whole if "name" in b] == shown


def test_tools_of_the_cli_are_its_own_affair():
    calls = make(allowed=frozenset())
    assert called(passed(calls, message("other"))) == ["other"]
    assert not calls.refused


def test_a_second_correction_is_an_error():
    calls = make(required=True)
    passed(calls, message(stop_reason="end_turn"))
    assert not calls.satisfied
    calls.correct()
    assert passed(calls, message(stop_reason="end_turn")) == []
    with pytest.raises(ConstraintUnmet, match="Do it"):
        calls.correct()


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal"])
def test_an_answer_that_was_cut_is_passed_on(stop_reason):
    calls = make(required=True)
    messages = list(message(stop_reason=stop_reason))
    assert passed(calls, messages) == messages
    assert calls.satisfied


def test_a_failed_turn_is_passed_on():
    calls = make(required=True)
    failed = protocol.Result(is_error=True)
    assert passed(calls, [failed]) == [failed]


STRICT = {"f": '{"type": "object", "required": ["a"]}'}


def strict_call(*fragments, index=0):
    block = {"type": "tool_use", "id": "f_id", "name": "f"}
    yield event(protocol.ContentBlockStart, index=index, content_block=block)
    for fragment in fragments:
        delta = protocol.Delta("input_json_delta", partial_json=fragment)
        yield event(protocol.ContentBlockDelta, index=index, delta=delta)


def begun():
    return event(protocol.MessageStart, message=protocol.ApiMessage(id="m"))


def test_strict_call_is_kept_back_until_it_is_seen_to_match():
    calls = make(strict=STRICT)
    messages = [begun(), *strict_call('{"a"', ": 1}")]
    assert passed(calls, messages) == []
    end = event(protocol.ContentBlockStop, index=0)
    assert passed(calls, [end]) == [*messages, end]


def test_strict_call_that_does_not_match_is_refused():
    calls = make(strict=STRICT)
    end = event(protocol.ContentBlockStop, index=0)
    assert passed(calls, [begun(), *strict_call("{}"), end]) == []
    assert calls.refused == ["f_id"]
    assert calls.parameter == "tools"
    assert "'a' is a required property" in calls.reason


@pytest.mark.parametrize(
    "after", [protocol.Result(is_error=True), begun(), protocol.System("status")]
)
def test_what_follows_a_strict_call_that_breaks_off_is_not_lost(after):
    calls = make(strict=STRICT)
    passed(calls, [begun(), *strict_call('{"a')])
    delta = event(protocol.MessageDelta, delta=protocol.Delta(stop_reason="end_turn"))
    assert after in passed(calls, [after, delta])
