from __future__ import annotations

import asyncio

import pytest

from claude_nb_gateway.claude_code.pool.locks import Writers

pytestmark = pytest.mark.anyio


async def test_one_writes_at_a_time_in_the_order_of_asking():
    writers, order = Writers(most=8), []

    async def write(name):
        await writers.wait("s", 5)
        order.append(name)
        await asyncio.sleep(0)
        writers.end("s")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(write(name))
    assert order == ["a", "b", "c"]
    assert writers.free("s")


async def test_who_waits_too_long_is_told():
    writers = Writers(most=8)
    writers.begin("s")
    with pytest.raises(TimeoutError):
        await writers.wait("s", 0.0)
    writers.end("s")
    assert writers.free("s")


async def test_who_gives_up_is_passed_over():
    writers = Writers(most=8)
    writers.begin("s")
    gone = asyncio.create_task(writers.wait("s", 5))
    next_one = asyncio.create_task(writers.wait("s", 5))
    await asyncio.sleep(0)
    gone.cancel()
    writers.end("s")
    await next_one
    assert not writers.free("s")


async def test_who_gives_up_just_when_it_could_write_passes_it_on():
    writers = Writers(most=8)
    writers.begin("s")
    gone = asyncio.create_task(writers.wait("s", 5))
    await asyncio.sleep(0)
    writers.end("s")
    gone.cancel()
    await asyncio.wait([gone])
    assert writers.free("s")


async def test_sessions_without_a_transcript_need_no_turn():
    writers = Writers(most=8)
    writers.begin("")
    assert writers.free("")
