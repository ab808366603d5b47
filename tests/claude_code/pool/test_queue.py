from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.pool.queue import Queue
from claude_nb_gateway.claude_code.profile import PLAIN, Launch, Profile
from claude_nb_gateway.claude_code.turns import Setup

from .sessions import Waiting

pytestmark = pytest.mark.anyio

PROJECT = Launch(Profile("/project"))


async def test_oldest_ticket_is_served_first():
    queue = Queue()
    first, second = queue.join(PLAIN), queue.join(PLAIN)
    assert queue.take_next(PLAIN) is first
    assert queue.take_next(PLAIN) is second
    assert queue.take_next(PLAIN) is None


async def test_ticket_gets_no_process_with_another_launch():
    queue = Queue()
    ticket = queue.join(PROJECT)
    assert queue.take_next(PLAIN) is None
    assert queue.take_next(PROJECT) is ticket


async def test_ticket_gets_no_session_with_another_setup():
    queue = Queue()
    queue.join(PLAIN, Setup("sonnet", system=("A",)))
    second = queue.join(PLAIN, Setup("sonnet", system=("B",)))
    bound = Waiting(Setup("sonnet", system=("B",)))
    assert queue.take_next(PLAIN, bound) is second
    assert len(queue) == 1


async def test_only_what_is_not_starting_yet_must_be_started():
    queue = Queue()
    queue.join(PLAIN)
    queue.join(PROJECT)
    queue.starting.append(PLAIN)
    assert queue.to_start(spares=0) == [PROJECT]
    assert queue.to_start(spares=2) == [PROJECT, PLAIN, PLAIN]
    assert queue.launches == [PLAIN, PLAIN, PROJECT]


async def test_as_many_tickets_are_served_as_processes_are_starting():
    queue = Queue()
    first, second = queue.join(PLAIN), queue.join(PLAIN)
    queue.starting.append(PLAIN)
    assert queue.is_served(first)
    assert not queue.is_served(second)
    queue.leave(first)
    assert queue.is_served(second)
    assert first not in queue


async def test_refusing_all_empties_the_queue():
    queue = Queue()
    tickets = [queue.join(PLAIN), queue.join(PROJECT)]
    queue.refuse_all(OSError("gone"))
    assert not len(queue)
    for ticket in tickets:
        with pytest.raises(OSError, match="gone"):
            ticket.session.result()
