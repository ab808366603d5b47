"""Chat completion chunks, and whole completions, of the events of a turn."""

from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.protocol import Usage
from claude_nb_gateway.turn.events import (
    CallArguments,
    CallEnded,
    CallStarted,
    Ended,
    SessionStarted,
    Started,
    Text,
    Thinking,
    ToolStarted,
)
from claude_nb_gateway.wire.chat.events import ChatWriter, completion_usage
from claude_nb_gateway.wire.chat.types import SessionInfo, StreamOptions

STARTED = Started("claude-x", Usage())
ENDED = Ended("end_turn", Usage(3, 4))


def chunks_of(*events, **options):
    writer = ChatWriter("sonnet", StreamOptions(**options), streamed=True)
    return [chunk for event in events for chunk in writer.write(event)]


def answer(*events):
    writer = ChatWriter("sonnet", streamed=False)
    for event in events:
        writer.write(event)
    return writer.whole()


def test_role_first_then_deltas_then_the_reason():
    chunks = chunks_of(STARTED, Text("a"), Text("b"), ENDED)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert [delta.content for delta in deltas[1:3]] == ["a", "b"]
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None, None, None, "stop"]
    assert {chunk.model for chunk in chunks} == {"claude-x"}


def test_what_chat_completions_have_no_words_for_is_passed_over():
    tool = ToolStarted("t1", "Bash", {})
    assert chunks_of(SessionStarted("s1"), tool, CallEnded()) == []


def test_usage_comes_last_and_without_choices():
    chunks = chunks_of(STARTED, Text("a"), ENDED, include_usage=True)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 3
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 7


def test_session_comes_last_if_asked_for():
    ended = Ended("end_turn", Usage(), session_id="s1", cost_usd=0.5)
    *_, last = chunks_of(STARTED, ended, include_session=True)
    assert last.session == SessionInfo("s1", 0.5)


def test_tokens_of_the_cache_count_as_prompt():
    usage = completion_usage(Usage(1, 2, 4, 8, {"thinking_tokens": 1}))
    assert usage.prompt_tokens == 13
    assert usage.prompt_tokens_details.cached_tokens == 8
    assert usage.completion_tokens_details.reasoning_tokens == 1


def test_thinking_is_reasoning_content():
    message = answer(STARTED, Thinking("hm"), Text("a"), ENDED).choices[0].message
    assert (message.reasoning_content, message.content) == ("hm", "a")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_finish_reasons(reason, expected):
    completion = answer(STARTED, Ended(reason, Usage(3, 4)))
    assert completion.choices[0].finish_reason == expected
    assert completion.usage.total_tokens == 7


def test_calls_are_numbered_and_folded():
    events = [STARTED]
    for number in (1, 2):
        pieces = (CallArguments(f'{{"a":{number}'), CallArguments("}"), CallEnded())
        events += [CallStarted(f"c{number}", "f"), *pieces]
    chunks = chunks_of(*events)
    deltas = [chunk.choices[0].delta.tool_calls[0] for chunk in chunks[1:]]
    assert [delta.index for delta in deltas] == [0, 0, 0, 1, 1, 1]
    assert [bool(delta.id) for delta in deltas] == [True, False, False] * 2
    message = answer(*events, Ended("tool_use", Usage())).choices[0].message
    assert message.content is None
    assert [call.id for call in message.tool_calls] == ["c1", "c2"]
    arguments = [call.function.arguments for call in message.tool_calls]
    assert arguments == ['{"a":1}', '{"a":2}']
