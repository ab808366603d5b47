from __future__ import annotations

import asyncio

import pytest

from claude_nb_gateway.claude_code.pool.refill import Refill

pytestmark = pytest.mark.anyio


class Calls:
    def __init__(self):
        self.started = asyncio.Event()
        self.culled = asyncio.Event()


async def test_spares_are_due_after_a_lull_and_culled_after_a_longer_one():
    calls = Calls()
    refill = Refill(start=calls.started.set, cull=calls.culled.set)
    refill.conversation_begins(cull_after_seconds=0.0)
    assert not refill.is_due
    await asyncio.wait_for(calls.culled.wait(), 5)
    await asyncio.wait_for(calls.started.wait(), 5)
    assert refill.is_due
    refill.stop()


async def test_nothing_comes_after_the_stop():
    calls = Calls()
    refill = Refill(start=calls.started.set, cull=calls.culled.set)
    refill.conversation_begins(cull_after_seconds=0.0)
    refill.stop()
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, later.set)
    await later.wait()
    assert not calls.started.is_set()
    assert not calls.culled.is_set()
