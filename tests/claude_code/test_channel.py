from __future__ import annotations

import asyncio

import pytest

from claude_nb_gateway.claude_code.channel import (
    MAX_UNREAD_MESSAGES,
    ControlRequests,
    Inbox,
)
from claude_nb_gateway.claude_code.protocol import ControlAnswer, Result, System
from claude_nb_gateway.errors import CLIExited, CLITimeout, ProtocolError, ShuttingDown

pytestmark = pytest.mark.anyio


class Pipes:
    """What a channel uses of a process."""

    def __init__(self):
        self.sent = asyncio.Queue()
        self.reading = True

    async def send(self, message):
        self.sent.put_nowait(message)

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


@pytest.fixture
def pipes():
    return Pipes()


@pytest.fixture
def inbox(pipes):
    return Inbox(pipes)


async def test_batch_is_all_that_is_unread(inbox):
    first, second = System("a"), System("b")
    inbox.put(first)
    inbox.put(second)
    assert await inbox.batch(5, "output") == [first, second]
    inbox.put(second)
    inbox.put_back([first])
    assert await inbox.batch(5, "output") == [first, second]


async def test_reader_waits_for_a_message(inbox):
    reading = asyncio.create_task(inbox.batch(5, "output"))
    await asyncio.wait([reading], timeout=0)
    inbox.put(System("a"))
    inbox.delivered()
    assert [message.subtype for message in await reading] == ["a"]


async def test_silence_is_an_error_that_says_what_was_awaited(inbox):
    with pytest.raises(CLITimeout, match="no output within 0 s"):
        await inbox.batch(0.0, "output")


async def test_last_messages_are_read_before_the_end(inbox):
    inbox.put(Result())
    inbox.close(CLIExited(1, ""))
    assert len(await inbox.batch(5, "output")) == 1
    with pytest.raises(CLIExited):
        await inbox.batch(5, "output")


async def test_reader_of_an_abandoned_turn_gets_the_error_at_once(inbox):
    inbox.put(Result())
    inbox.abandon(ShuttingDown())
    with pytest.raises(ShuttingDown):
        await inbox.batch(5, "output")


async def test_pipe_is_left_to_fill_until_the_reader_has_read(inbox, pipes):
    for _ in range(MAX_UNREAD_MESSAGES + 1):
        inbox.put(System("a"))
    inbox.delivered()
    assert not pipes.reading
    await inbox.batch(5, "output")
    assert pipes.reading


async def test_each_answer_goes_to_its_request(pipes):
    control = ControlRequests(pipes, timeout_seconds=5)
    first, second = (asyncio.create_task(control.send(name)) for name in "ab")
    ids = [(await pipes.sent.get())["request_id"] for _ in range(2)]
    control.answered(ControlAnswer(ids[1], response={"to": "b"}))
    control.answered(ControlAnswer(ids[0], response={"to": "a"}))
    control.answered(ControlAnswer("unknown"))
    assert await first == {"to": "a"}
    assert await second == {"to": "b"}


async def test_refusal_names_the_request(pipes):
    control = ControlRequests(pipes, timeout_seconds=5)
    request = asyncio.create_task(control.send("interrupt"))
    request_id = (await pipes.sent.get())["request_id"]
    control.answered(ControlAnswer(request_id, subtype="error", error="no"))
    with pytest.raises(ProtocolError, match="'interrupt'") as error:
        await request
    assert error.value.detail == "no"


async def test_request_without_an_answer_is_given_up(pipes):
    control = ControlRequests(pipes, timeout_seconds=0.0)
    with pytest.raises(CLITimeout, match="answer to interrupt"):
        await control.send("interrupt")


async def test_requests_end_with_the_process(pipes):
    control = ControlRequests(pipes, timeout_seconds=5)
    request = asyncio.create_task(control.send("interrupt"))
    await pipes.sent.get()
    control.fail(CLIExited(1, ""))
    with pytest.raises(CLIExited):
        await request
