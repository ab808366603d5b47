from __future__ import annotations

import asyncio

import pytest

from claude_nb_gateway.claude_code.pool.idle import IdleSessions
from claude_nb_gateway.claude_code.profile import CHAT, Launch

from .sessions import Waiting

pytestmark = pytest.mark.anyio


@pytest.fixture
async def idle():
    dismissed = asyncio.Queue()
    idle = IdleSessions(dismissed.put_nowait)
    idle.dismissed = dismissed
    yield idle
    idle.take_where(lambda session: True)


def anyone(session):
    return True


async def test_session_at_the_latest_digest_is_taken_once(idle):
    early, late = Waiting(), Waiting()
    idle.put(b"1", early, 60)
    idle.put(b"2", late, 60)
    assert idle.take([b"1", b"2", b"3"], anyone) == (1, late)
    assert idle.take([b"1", b"2", b"3"], anyone) == (0, early)
    assert idle.take([b"1", b"2", b"3"], anyone) is None


async def test_session_that_is_not_accepted_stays(idle):
    session = Waiting()
    idle.put(b"1", session, 60)
    assert idle.take([b"1"], lambda session: False) is None
    assert session in idle


async def test_session_is_found_by_its_id(idle):
    named = Waiting(launch=Launch(CHAT, "id"))
    idle.put(b"1", Waiting(), 60)
    idle.put(b"2", named, 60)
    assert idle.take_named("id") is named
    assert idle.take_named("id") is None
    assert len(idle) == 1


async def test_oldest_session_is_the_one_put_first(idle):
    first, second = Waiting(), Waiting()
    idle.put(b"1", first, 60)
    idle.put(b"1", second, 60)
    assert [idle.take_oldest() for _ in range(3)] == [first, second, None]


async def test_session_that_nobody_takes_is_dismissed(idle):
    session = Waiting()
    idle.put(b"1", session, 0.0)
    assert await asyncio.wait_for(idle.dismissed.get(), 5) is session
    assert not len(idle)


async def test_session_that_is_discarded_is_not_dismissed(idle):
    session = Waiting()
    idle.put(b"1", session, 0.0)
    assert idle.discard(session)
    assert not idle.discard(session)
    other = Waiting()
    idle.put(b"1", other, 0.0)
    assert await asyncio.wait_for(idle.dismissed.get(), 5) is other
    assert idle.dismissed.empty()
