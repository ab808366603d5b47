"""The events of a response, and the response whole, of the events of a turn."""

from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.protocol import Usage
from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.turn.events import (
    CallArguments,
    CallEnded,
    CallStarted,
    Ended,
    Started,
    Text,
    Thinking,
    ToolEnded,
)
from claude_nb_gateway.wire.errors import ErrorBody
from claude_nb_gateway.wire.responses.events import ResponseWriter, response_to
from claude_nb_gateway.wire.responses.socket_types import HeadersEvent
from claude_nb_gateway.wire.responses.tools import read_tools
from claude_nb_gateway.wire.responses.types import ResponseRequest

STARTED = Started("claude-x", Usage())
ENDED = Ended("end_turn", Usage(3, 4, 1, 2))
BEGUN = ["response.created", "response.in_progress"]


def writer_of(*tools, **options):
    known = read_tools(list(tools))
    response = response_to(ResponseRequest(model="sonnet"), known)
    return ResponseWriter(response, tools=known, **options)


def kind(event):
    return event.__struct_config__.tag


def write(writer, *events):
    return [each for event in events for each in writer.write(event)]


def test_text_is_a_message_that_grows():
    writer = writer_of()
    written = write(writer, STARTED, Text("a"), Text("b"), ENDED)
    assert [kind(event) for event in written] == [
        *BEGUN,
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    response = writer.whole()
    assert response.output[0].content[0].text == "ab"
    assert (response.status, response.model) == ("completed", "claude-x")


def test_events_are_numbered_without_gaps():
    written = write(writer_of(), STARTED, Text("a"), ENDED)
    assert [event.sequence_number for event in written] == list(range(len(written)))


def test_tokens_of_the_cache_count_as_input():
    writer = writer_of()
    write(writer, STARTED, ENDED)
    usage = writer.whole().usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (6, 2)
    assert (usage.output_tokens, usage.total_tokens) == (4, 10)


@pytest.mark.parametrize("shown", [True, False])
def test_thoughts_are_an_item_where_they_are_wanted(shown):
    writer = writer_of(shows_thoughts=shown)
    write(writer, STARTED, Thinking("hm"), Text("a"), ENDED)
    kinds = [kind(item) for item in writer.whole().output]
    assert kinds == (["reasoning", "message"] if shown else ["message"])


def test_call_of_a_function_is_an_item_with_its_arguments():
    writer = writer_of({"type": "function", "name": "f"})
    call = (CallStarted("c1", "f"), CallArguments("{"), CallArguments("}"), CallEnded())
    written = write(writer, STARTED, *call, Ended("tool_use", Usage()))
    assert [kind(event) for event in written[2:]] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    (item,) = writer.whole().output
    assert (item.call_id, item.name, item.arguments) == ("c1", "f", "{}")


def test_input_of_a_custom_tool_comes_when_it_is_whole():
    writer = writer_of({"type": "custom", "name": "c"})
    pieces = (CallArguments('{"input": "a'), CallArguments(' b"}'), CallEnded())
    written = write(writer, STARTED, CallStarted("c1", "c"), *pieces, ENDED)
    deltas = [e.delta for e in written if kind(e).endswith("input.delta")]
    assert deltas == ["a b"]
    assert writer.whole().output[0].input == "a b"


def test_command_for_the_clients_shell_is_an_action():
    writer = writer_of({"type": "local_shell"})
    arguments = CallArguments('{"command": ["ls"]}')
    write(writer, STARTED, CallStarted("c1", "local_shell"), arguments, ENDED)
    assert writer.whole().output[0].action.command == ["ls"]


@pytest.mark.parametrize(
    ("reason", "details"),
    [("max_tokens", "max_output_tokens"), ("refusal", "content_filter")],
)
def test_answer_that_is_cut_off_is_incomplete(reason, details):
    writer = writer_of()
    *_, last = write(writer, STARTED, Text("a"), Ended(reason, Usage()))
    response = writer.whole()
    assert kind(last) == "response.incomplete"
    assert response.incomplete_details.reason == details
    assert response.output[0].status == "incomplete"


def test_failure_ends_the_stream_and_stays_in_the_response():
    writer = writer_of()
    write(writer, STARTED, Text("a"))
    (failed,) = writer.fail(ErrorBody("m", "api_error", code="rate_limit_exceeded"))
    assert kind(failed) == "response.failed"
    assert writer.whole().error.code == "rate_limit_exceeded"
    assert writer.whole().output[0].status == "incomplete"


def test_codes_that_openai_does_not_have_are_one():
    writer = writer_of()
    writer.fail(ErrorBody("m", "api_error", code="cli_error"))
    assert writer.whole().error.code == "server_error"


def test_cancelled_response_says_so():
    writer = writer_of()
    write(writer, STARTED, Text("a"))
    writer.cancel()
    assert writer.whole().status == "cancelled"


def test_response_for_which_nothing_is_asked_is_complete_and_empty():
    writer = writer_of()
    assert [kind(event) for event in writer.skip()] == [*BEGUN, "response.completed"]
    assert writer.whole().output == []


def test_note_before_events_is_numbered_with_them():
    writer = writer_of()
    events = write(writer, STARTED)
    numbered = writer.preceded(HeadersEvent(headers={}), events)
    assert [event.sequence_number for event in numbered] == [0, 1, 2]


def test_tools_of_claude_code_are_no_items():
    assert write(writer_of(), ToolEnded("t1", "x")) == []


def test_too_much_metadata_is_refused():
    request = ResponseRequest(metadata={str(n): "" for n in range(17)})
    with pytest.raises(InvalidRequest, match="`metadata`"):
        response_to(request, read_tools(None))
