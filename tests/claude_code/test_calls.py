from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.calls import ClientCalls
from claude_nb_gateway.claude_code.protocol import (
    ApiMessage,
    Assistant,
    MessageStart,
    StreamEvent,
    System,
)
from claude_nb_gateway.claude_code.tools import Call


@pytest.fixture
def replies():
    return []


@pytest.fixture
def calls(replies):
    return ClientCalls(replies.append)


def result(call, text="done"):
    content = [{"type": "text", "text": text}]
    return {"type": "tool_result", "tool_use_id": call, "content": content}


def answered(replies):
    return [reply["response"]["request_id"] for reply in replies]


def test_result_is_sent_once_the_cli_asks_for_it(calls, replies):
    calls.wait_for("msg", ["a", "b"])
    calls.called(Call("1", 1, "a"))
    assert not replies
    calls.answer([result("a"), result("b")])
    assert answered(replies) == ["1"]
    calls.called(Call("2", 2, "b"))
    assert answered(replies) == ["1", "2"]


def test_awaited_calls_are_those_of_the_turn_until_they_are_answered(calls):
    calls.begin_turn()
    calls.wait_for("msg", ["a", "b"])
    assert calls.awaited == {"a", "b"}
    calls.answer([result("a"), result("b")])
    assert not calls.awaited
    calls.wait_for("other", ["c"])
    assert calls.count == 3


def test_refused_call_is_answered_with_the_reason(calls, replies):
    calls.called(Call("1", 1, "a"))
    calls.refuse(["a"], "not now")
    (reply,) = replies
    content = reply["response"]["response"]["mcp_response"]["result"]["content"]
    assert content == [{"type": "text", "text": "not now"}]


@pytest.mark.parametrize(
    ("ids", "used"),
    [(["new"], False), (["new", "new"], True), (["old"], True), (["seeded"], True)],
)
def test_id_that_was_there_before_is_noticed(calls, ids, used):
    calls.seed(["seeded"])
    calls.wait_for("msg", ["old"])
    assert calls.has_used(ids) is used


def test_what_the_cli_repeats_of_the_message_with_the_calls_is_left_out(calls):
    said = Assistant(ApiMessage(id="msg"))
    system, start = System("status"), StreamEvent(MessageStart(ApiMessage(id="next")))
    calls.wait_for("msg", ["a"])
    assert calls.after_calls([said, system]) == [system]
    assert calls.after_calls([said, start, system]) == [start, system]
    assert calls.after_calls([said]) == [said]
