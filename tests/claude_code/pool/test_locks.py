from __future__ import annotations

import asyncio

import pytest

from claude_nb_gateway.claude_code.pool.locks import SessionLocks

from ...conftest import step

pytestmark = pytest.mark.anyio


async def test_lock_is_given_in_the_order_of_asking():
    locks, order = SessionLocks(max_waiting=8), []

    async def hold(name):
        await locks.acquire("s", 5)
        order.append(name)
        await step()
        locks.release("s")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(hold(name))
    assert order == ["a", "b", "c"]
    assert locks.is_free("s")


async def test_waiting_too_long_is_an_error():
    locks = SessionLocks(max_waiting=8)
    locks.lock("s")
    with pytest.raises(TimeoutError):
        await locks.acquire("s", 0.0)
    locks.release("s")
    assert locks.is_free("s")


async def test_request_that_gives_up_is_passed_over():
    locks = SessionLocks(max_waiting=8)
    locks.lock("s")
    gone = asyncio.create_task(locks.acquire("s", 5))
    next_one = asyncio.create_task(locks.acquire("s", 5))
    await step()
    gone.cancel()
    locks.release("s")
    await next_one
    assert not locks.is_free("s")


async def test_request_that_gives_up_just_as_it_gets_the_lock_passes_it_on():
    locks = SessionLocks(max_waiting=8)
    locks.lock("s")
    gone = asyncio.create_task(locks.acquire("s", 5))
    await step()
    locks.release("s")
    gone.cancel()
    await asyncio.wait([gone])
    assert locks.is_free("s")


async def test_sessions_without_a_transcript_need_no_lock():
    locks = SessionLocks(max_waiting=8)
    locks.lock("")
    assert locks.is_free("")
