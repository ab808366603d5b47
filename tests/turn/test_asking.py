from __future__ import annotations

import asyncio
import functools
import os
import signal

import psutil
import pytest

from claude_nb_gateway.claude_code.turns import Conversation, Setup, Turn
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.errors import GatewayError, TooBusy, UpstreamError

from ..conftest import events_of, spares, step, text_of, until

pytestmark = pytest.mark.anyio


def text(text):
    return [{"type": "text", "text": text}]


def conversation(*texts, max_output_tokens=None, **options):
    """A conversation of these texts, the user's and the assistant's in turn."""
    roles = ["user", "assistant"] * len(texts)
    turns = [Turn(role, text(t)) for role, t in zip(roles, texts, strict=False)]
    (*history, question) = turns
    setup = Setup(**{"model": "sonnet", "principal": "me", **options})
    return Conversation(setup, tuple(history), question.content, max_output_tokens)


async def run(manager, *texts, **options):
    """Ask, and return the answer's text."""
    return text_of(await events_of(manager, conversation(*texts, **options)))


def sessions(model):
    """The Claude Code sessions that asked, in the order of their requests."""
    return [request.headers["X-Claude-Code-Session-Id"] for request in model.requests]


@pytest.fixture
def numbered(model):
    """A model that counts its answers."""
    model.responder = lambda request: Reply([f"answer {len(model.requests)}"])
    return model


async def test_conversation_stays_on_its_process(make, numbered):
    manager = make()
    assert await run(manager, "one") == "answer 1"
    assert await run(manager, "one", "answer 1", "two") == "answer 2"
    turns = ("one", "answer 1", "two", "answer 2", "three")
    assert await run(manager, *turns) == "answer 3"
    assert len(set(sessions(numbered))) == 1
    assert [text for _, text in numbered.requests[2].turns] == list(turns)


async def test_cost_is_that_of_the_turn(make, numbered):
    manager = make()
    costs = []
    for texts in (("one",), ("one", "answer 1", "two")):
        *_, ended = await events_of(manager, conversation(*texts))
        costs.append(ended.cost_usd)
    assert costs[0] == pytest.approx(costs[1])


async def test_whitespace_that_clients_strip_does_not_matter(make, model):
    model.script(Reply([" \n answer \n"]))
    manager = make()
    await run(manager, "one")
    await run(manager, "one", "answer", "two")
    assert len(set(sessions(model))) == 1


slow = functools.partial(pytest.param, marks=pytest.mark.soak)


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (("other",), {}),
        (("one", "changed", "two"), {}),
        slow(("changed", "answer 1", "two"), {}),
        slow(("one",), {}),
        (("one", "answer 1", "two"), {"principal": "someone else"}),
        slow(("one", "answer 1", "two"), {"model": "haiku"}),
        slow(("one", "answer 1", "two"), {"effort": "low"}),
    ],
)
async def test_what_is_not_a_continuation_gets_its_own_session(
    make, numbered, texts, options
):
    manager = make()
    await run(manager, "one")
    await run(manager, *texts, **options)
    assert len(set(sessions(numbered))) == 2
    assert [text for _, text in numbered.requests[1].turns] == list(texts)


@pytest.mark.soak
async def test_branches_each_have_their_session(make, numbered):
    manager = make()
    await run(manager, "one")
    await run(manager, "one", "answer 1", "left")
    await run(manager, "one", "answer 1", "right")
    first, left, right = sessions(numbered)
    assert first == left != right
    await run(manager, "one", "answer 1", "left", "answer 2", "more")
    await run(manager, "one", "answer 1", "right", "answer 3", "more")
    assert sessions(numbered)[3:] == [left, right]


@pytest.mark.soak
async def test_two_at_once_on_one_prefix_do_not_share(make, numbered):
    manager = make()
    await run(manager, "one")
    both = (run(manager, "one", "answer 1", question) for question in ("a", "b"))
    await asyncio.gather(*both)
    assert len(set(sessions(numbered)[1:])) == 2
    asked = {request.turns[-1][1] for request in numbered.requests[1:]}
    assert asked == {"a", "b"}


async def test_failed_turn_is_not_continued(make, model):
    model.script(Reply(["a"]), Reply(status=500), Reply(["b"]))
    manager = make()
    await run(manager, "one")
    with pytest.raises(GatewayError):
        await run(manager, "one", "a", "two")
    assert await run(manager, "one", "a", "two") == "b"
    assert len(set(sessions(model))) == 2
    assert [text for _, text in model.requests[2].turns] == ["one", "a", "two"]


async def test_cut_answer_is_not_continued(make, model):
    model.script(Reply(["cut"], stop_reason="max_tokens"))
    manager = make()
    asked = conversation("one", max_output_tokens=5)
    *_, ended = await events_of(manager, asked)
    assert ended.reason == "max_tokens"
    await run(manager, "one", "cut", "two", max_output_tokens=5)
    assert model.requests[-1].turns == [
        ("user", "one"),
        ("assistant", "cut"),
        ("user", "two"),
    ]


async def test_killed_idle_session_is_replaced(make, numbered):
    manager = make(spare_processes=0)
    await run(manager, "one")
    (session,) = manager.snapshot().processes
    os.kill(session.pid, signal.SIGKILL)
    await until(lambda: not manager.snapshot().processes)
    assert await run(manager, "one", "answer 1", "two") == "answer 2"
    assert len(set(sessions(numbered))) == 2


@pytest.mark.soak
async def test_session_that_dies_as_it_is_asked_is_replaced(make, numbered):
    manager = make(spare_processes=0)
    await run(manager, "one")
    (session,) = manager.snapshot().processes
    os.kill(session.pid, signal.SIGKILL)  # and nobody knows it yet
    assert await run(manager, "one", "answer 1", "two") == "answer 2"
    assert [text for _, text in numbered.requests[-1].turns] == [
        "one",
        "answer 1",
        "two",
    ]


RECOVERING = {"CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "0"}


@pytest.mark.soak
@pytest.mark.parametrize(("retries", "streamed"), [(0, False), (1, True)])
async def test_stream_that_breaks_off_is_taken_up_where_it_ended(
    make, model, retries, streamed
):
    words = ["one ", "two ", "three ", "four"]
    model.script(Reply(words, drop_after=2, delay_seconds=0.05), Reply(words))
    manager = make(cli_env=RECOVERING, api_max_retries=retries)
    assert await run(manager, "one") == "".join(words)
    assert [r.body["stream"] for r in model.requests] == [True, streamed]


@pytest.mark.soak
async def test_stream_that_goes_on_differently_is_an_error(make, model):
    broken = Reply(["one ", "two "], drop_after=1, delay_seconds=0.05)
    model.script(broken, Reply(["something else"]))
    with pytest.raises(UpstreamError, match="taken up where it ended"):
        await run(make(cli_env=RECOVERING, api_max_retries=1), "one")


async def test_limit_changes_within_a_live_session_without_a_trace(make, numbered):
    manager = make()
    await run(manager, "one")
    await run(manager, "one", "answer 1", "two", max_output_tokens=77)
    turns = ("one", "answer 1", "two", "answer 2", "three")
    await run(manager, *turns)
    assert len(set(sessions(numbered))) == 1
    first, second, third = (r.body["max_tokens"] for r in numbered.requests)
    assert first == third != second == 77
    said = numbered.requests[2].body["messages"]
    assert [turn["role"] for turn in said if turn["role"] != "system"] == [
        *["user", "assistant"] * 2,
        "user",
    ]
    assert [text for _, text in numbered.requests[2].turns] == list(turns)
    notes = [turn for turn in said if turn["role"] == "system"]
    known = numbered.requests[0].body["messages"]
    assert len(notes) == len([turn for turn in known if turn["role"] == "system"])


async def test_idle_sessions_are_culled_by_age(make, numbered):
    manager = make(spare_processes=0, session_idle_timeout_seconds=1.0)
    await run(manager, "one")
    (session,) = manager.snapshot().processes
    await asyncio.to_thread(psutil.Process(session.pid).wait, 10)


@pytest.mark.soak
async def test_idle_sessions_give_way_to_new_conversations(make, numbered):
    manager = make(max_processes=2, spare_processes=0)
    for question in ("one", "two", "three"):
        await run(manager, question)
    assert len(manager.snapshot().processes) == 2
    await run(manager, "two", "answer 2", "more")
    await run(manager, "one", "answer 1", "more")
    first, second, _, again, anew = sessions(numbered)
    assert again == second
    assert anew != first


@pytest.mark.soak
async def test_old_conversations_give_way_to_spares(make, numbered):
    manager = make(spare_processes=2, max_processes=4)
    for number in range(5):
        await run(manager, f"question {number}")
    await spares(manager, 2)
    assert len(manager.snapshot().processes) <= 4
    await run(manager, "question 4", "answer 5", "more")  # the latest is still there
    assert sessions(numbered)[5] == sessions(numbered)[4]


@pytest.mark.soak
async def test_with_two_places_one_is_for_a_conversation(make, numbered):
    manager = make(spare_processes=2, max_processes=2)
    await run(manager, "one")
    await spares(manager, 1)
    await run(manager, "one", "answer 1", "two")
    assert len(set(sessions(numbered))) == 1


async def test_above_the_ceiling_requests_are_answered_in_order(make, model):
    manager = make(max_processes=1, spare_processes=0)
    questions = [f"question {i}" for i in range(4)]
    async with asyncio.TaskGroup() as group:
        for question in questions:
            group.create_task(run(manager, question))
            await step()
    assert [request.turns[-1][1] for request in model.requests] == questions
    assert len(manager.snapshot().processes) == 1


@pytest.mark.soak
async def test_spare_that_takes_the_last_slot_does_not_hold_up_a_request(
    make, numbered
):
    manager = make(max_processes=2, spare_processes=1, queue_timeout_seconds=20.0)
    async with manager.acquire(conversation("other")):
        await until(lambda: manager.snapshot().places_taken == 2)  # with a spare
        assert await run(manager, "one") == "answer 1"


@pytest.mark.soak
async def test_no_slot_is_lost_to_those_who_gave_up_waiting(make, numbered):
    manager = make(max_processes=1, spare_processes=0, queue_timeout_seconds=0.05)
    async with manager.acquire(conversation("other")):
        for _ in range(3):
            with pytest.raises(TooBusy):
                await run(manager, "one")
        waiting = asyncio.create_task(run(manager, "one"))
        await step()
        waiting.cancel()
    manager.queue_timeout_seconds = 20.0
    assert await run(manager, "one") == "answer 1"


@pytest.mark.parametrize("count", [4, pytest.param(50, marks=pytest.mark.soak)])
async def test_interleaved_conversations_never_mix(make, model, count):
    def echo_secrets(request):
        return Reply([" ".join(text for role, text in request.turns if role == "user")])

    model.responder = echo_secrets
    manager = make(max_processes=count + 1)

    async def talk(number):
        principal = f"principal {number % 2}"
        texts = []
        for turn in range(3):
            texts.append(f"secret-{number}-{turn}")
            reply = await run(manager, *texts, principal=principal)
            assert reply == " ".join(texts[::2])
            texts.append(reply)

    manager.queue_timeout_seconds = 100.0
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(talk(number))
    assert len(set(sessions(model))) == count


@pytest.mark.soak
async def test_history_of_a_hundred_turns_is_seeded_in_order(make, model):
    texts = [f"text {i}" for i in range(101)]
    await run(make(), *texts)
    assert [text for _, text in model.requests[0].turns] == texts
