from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.protocol import (
    ApiMessage,
    Assistant,
    CommandLifecycle,
    RateLimitEvent,
    RateLimits,
    Result,
    System,
)
from claude_nb_gateway.claude_code.question import Belongs, Question

INIT = System("init")
WORDS = Assistant(ApiMessage(id="msg"))


@pytest.fixture
def question():
    question = Question()
    question.sent("mine")
    return question


def begin(question, uuid="mine"):
    return question.note_start(CommandLifecycle(uuid, "started"))


def test_messages_between_start_and_result_are_the_answer(question):
    assert begin(question)
    ended = Result(user_message_uuids=["mine"])
    places = [question.place(message) for message in (INIT, WORDS, ended)]
    assert places == [Belongs.TO_ANSWER] * 3
    assert question.place(WORDS) is Belongs.TO_OTHER_TURN


def test_turn_that_nobody_asked_for_is_not_the_answer(question):
    assert not begin(question, "other")
    for message in (INIT, WORDS, Result(user_message_uuids=["other"])):
        assert question.place(message) is Belongs.TO_OTHER_TURN
    assert begin(question)
    assert question.place(WORDS) is Belongs.TO_ANSWER


def test_result_of_another_turn_does_not_end_the_answer(question):
    begin(question)
    other = Result(user_message_uuids=["other"])
    assert question.place(other) is Belongs.TO_OTHER_TURN
    assert question.place(WORDS) is Belongs.TO_ANSWER


def test_question_that_is_only_queued_has_not_started(question):
    assert not question.note_start(CommandLifecycle("mine", "queued"))
    assert question.place(WORDS) is Belongs.TO_OTHER_TURN


def test_older_cli_that_announces_nothing_starts_with_its_init(question):
    assert question.place(INIT) is Belongs.TO_ANSWER
    assert question.place(Result()) is Belongs.TO_ANSWER


def test_sub_agent_speaks_in_no_turn(question):
    of_agent = Assistant(ApiMessage(id="msg"), parent_tool_use_id="toolu_1")
    assert question.place(of_agent) is Belongs.NOWHERE


def test_limits_are_always_read(question):
    limits = RateLimitEvent(RateLimits())
    assert question.place(limits) is Belongs.TO_ANSWER
