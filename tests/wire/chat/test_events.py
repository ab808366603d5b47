from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code import protocol as p
from claude_nb_gateway.errors import UpstreamError
from claude_nb_gateway.wire.chat.events import (
    ChunkBuilder,
    completion_usage,
    fold,
    merge,
)
from claude_nb_gateway.wire.chat.types import StreamOptions


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


def chunks_of(*messages, **options):
    builder = ChunkBuilder("sonnet", StreamOptions(**options))
    return [chunk for message in messages for chunk in builder.feed(message)]


def answer(*messages):
    return fold(chunks_of(*messages), completion_usage(None))


def content(*messages):
    return answer(*messages).choices[0].message.content


def test_role_first_then_deltas_then_the_reason():
    chunks = chunks_of(start(), text("a"), text("b"), whole("ab"), stop(), result())
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert [delta.content for delta in deltas[1:3]] == ["a", "b"]
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None, None, None, "stop"]
    assert {chunk.model for chunk in chunks} == {"claude-x"}


def test_nothing_comes_before_the_model_speaks():
    assert chunks_of(p.System(subtype="init"), p.System(subtype="status")) == []


def test_usage_comes_last_and_without_choices():
    chunks = chunks_of(start(), text("a"), stop(), result(), include_usage=True)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 3
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 7


def test_tokens_of_the_cache_count_as_prompt():
    usage = completion_usage(p.Usage(1, 2, 4, 8, {"thinking_tokens": 1}))
    assert usage.prompt_tokens == 13
    assert usage.prompt_tokens_details.cached_tokens == 8
    assert usage.completion_tokens_details.reasoning_tokens == 1


def test_thinking_is_reasoning_content():
    message = answer(start(), thinking("hm"), text("a"), stop(), result())
    assert message.choices[0].message.reasoning_content == "hm"
    assert message.choices[0].message.content == "a"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("max_tokens", "length"), ("refusal", "content_filter"), ("end_turn", "stop")],
)
def test_finish_reasons(reason, expected):
    message = answer(start(), text("a"), stop(reason), result(reason))
    assert message.choices[0].finish_reason == expected


def test_cut_answer_is_finished_before_the_cli_goes_on():
    messages = (start(), text("a"), stop("max_tokens"), start("m2"), text("b"))
    assert content(*messages) == "a"


def test_what_came_without_streaming_is_delivered_once():
    assert content(whole("abc"), result()) == "abc"
    assert content(start(), text("ab"), whole("abcd", "m2"), result()) == "abcd"


def test_stream_begun_anew_is_not_told_twice():
    messages = (start(), text("ab"), start("m2"), text("a"), text("bcd"), stop())
    assert content(*messages, result()) == "abcd"


def test_stream_broken_twice_is_not_told_twice():
    again = (start("m2"), text("ab"), start("m3"), text("abcdef"), stop())
    assert content(start(), text("abcd"), *again, result()) == "abcdef"


def test_stream_begun_anew_differently_is_an_error():
    with pytest.raises(UpstreamError):
        chunks_of(start(), text("ab"), start("m2"), text("x"))


def test_stream_begun_anew_and_shorter_is_an_error():
    with pytest.raises(UpstreamError):
        chunks_of(start(), text("abc"), start("m2"), text("a"), stop())


def test_text_of_the_cli_itself_is_no_answer():
    assert content(start(), whole("API Error", error="server_error"), result()) == ""


def test_sub_agents_are_not_heard():
    message = whole("x", parent_tool_use_id="toolu_1")
    assert content(start(), message, result()) == ""


def test_character_split_between_deltas_arrives_whole():
    messages = (start(), text("a\ud83d"), text("\ude00b"), stop(), result())
    deltas = [chunk.choices[0].delta for chunk in chunks_of(*messages)]
    assert [delta.content for delta in deltas[1:3]] == ["a", "😀b"]


def test_half_a_character_alone_does_not_break_the_answer():
    assert content(start(), text("a\udc00b"), stop(), result()) == "a�b"


def test_merging_keeps_text_and_order():
    messages = (start(), thinking("h"), thinking("m"), text("a"), text("b"), stop())
    chunks = chunks_of(*messages, result())
    before = fold(chunks, completion_usage(None))
    merged = merge(chunks)
    assert len(merged) == 4
    assert fold(merged, completion_usage(None)) == before


def test_pieces_of_one_call_are_merged_and_no_others():
    builder = ChunkBuilder("sonnet", tools={"mcp__client__f": "f"})
    messages = [start()]
    for index, arguments in enumerate(['{"a', '{"b']):
        block = {"type": "tool_use", "id": f"id{index}", "name": "mcp__client__f"}
        messages.append(event(p.ContentBlockStart(index, block)))
        for piece in (arguments, '":', "1}"):
            delta = p.Delta("input_json_delta", partial_json=piece)
            messages.append(event(p.ContentBlockDelta(index, delta)))
    messages.append(stop("tool_use"))
    chunks = [chunk for message in messages for chunk in builder.feed(message)]
    before = fold(chunks, completion_usage(None))
    merged = merge(chunks)
    assert len(merged) == 4  # role, two calls, the reason
    assert fold(merged, completion_usage(None)) == before
    calls = before.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"a":1}', '{"b":1}']
