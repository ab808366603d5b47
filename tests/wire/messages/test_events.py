"""Anthropic's events, and whole messages, of the events of a turn."""

from __future__ import annotations

import msgspec
import pytest

from claude_nb_gateway.claude_code.protocol import Usage
from claude_nb_gateway.turn.events import (
    CallArguments,
    CallEnded,
    CallStarted,
    Ended,
    Started,
    Text,
    Thinking,
    ToolStarted,
)
from claude_nb_gateway.wire.errors import ErrorBody
from claude_nb_gateway.wire.messages.events import MessageWriter, error_event

STARTED = Started("claude-x", Usage(3, 1))
ENDED = Ended("end_turn", Usage(3, 4))
CALL = (CallStarted("c1", "f"), CallArguments('{"a":'), CallArguments("1}"))


def write(*events, shows_thoughts=True):
    writer = MessageWriter("sonnet", "req_1", shows_thoughts=shows_thoughts)
    written = [each for event in events for each in writer.write(event)]
    return written, writer.whole()


def kinds(*events, **options):
    return [each.__struct_config__.tag for each in write(*events, **options)[0]]


def test_text_is_a_block_that_starts_grows_and_stops():
    written, message = write(STARTED, Text("a"), Text("b"), ENDED)
    assert [each.__struct_config__.tag for each in written] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [block.text for block in message.content] == ["ab"]
    assert message.model == "claude-x"
    assert message.usage.output_tokens == 4


def test_message_starts_empty_with_its_first_tokens():
    (started, *_), _ = write(STARTED, Text("a"), ENDED)
    assert started.message.content == []
    assert started.message.usage.output_tokens == 1


def test_blocks_of_several_kinds_follow_each_other():
    written, message = write(STARTED, Thinking("hm"), Text("a"), *CALL, CallEnded())
    starts = [each for each in written if hasattr(each, "content_block")]
    assert [each.index for each in starts] == [0, 1, 2]
    names = [block.__struct_config__.tag for block in message.content]
    assert names == ["thinking", "text", "tool_use"]


def test_thoughts_are_left_out_unless_they_are_wanted():
    events = (STARTED, Thinking("hm"), Text("a"), ENDED)
    assert kinds(*events, shows_thoughts=False).count("content_block_start") == 1


def test_arguments_are_parsed_when_the_call_is_whole():
    _, message = write(STARTED, *CALL, CallEnded(), Ended("tool_use", Usage()))
    assert message.content[0].input == {"a": 1}
    assert message.stop_reason == "tool_use"


def test_arguments_that_are_cut_off_are_empty():
    _, message = write(STARTED, *CALL[:2], Ended("max_tokens", Usage()))
    assert message.content[0].input == {}


def test_stop_sequence_is_named():
    written, message = write(STARTED, Ended("stop_sequence", Usage(), "END"))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert written[-2].delta.stop_sequence == "END"


def test_tools_of_claude_code_have_no_block():
    assert kinds(ToolStarted("t1", "Bash", {})) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ErrorBody("m", "api_error"), "api_error"),
        (ErrorBody("m", "rate_limit_error"), "rate_limit_error"),
        (ErrorBody("m", "anything"), "api_error"),
        (ErrorBody("m", "api_error", code="server_is_overloaded"), "overloaded_error"),
    ],
)
def test_failure_has_anthropics_type_and_the_requests_name(error, kind):
    writer = MessageWriter("sonnet", "req_1", shows_thoughts=False)
    (event,) = writer.fail(error)
    assert (event.error.type, event.request_id) == (kind, "req_1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (418, "invalid_request_error"),
        (502, "api_error"),
    ],
)
def test_error_has_the_type_of_its_status(status, kind):
    event = error_event(ErrorBody("m", "x"), status, "req_1")
    assert msgspec.to_builtins(event)["error"] == {"type": kind, "message": "m"}
