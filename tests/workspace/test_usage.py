"""Every turn gets into the store, also when its project or its session is new."""

from __future__ import annotations

import asyncio

import pytest

from claude_nb_gateway.access.callers import Caller
from claude_nb_gateway.access.rights import Identity
from claude_nb_gateway.claude_code.protocol import ModelUsage
from claude_nb_gateway.claude_code.usage import TurnAccount
from claude_nb_gateway.errors import StoreUnavailable
from claude_nb_gateway.store.records import KeyRecord, SessionRecord, Tokens
from claude_nb_gateway.store.store import Store
from claude_nb_gateway.workspace import usage
from claude_nb_gateway.workspace.discovery import TERMINAL
from claude_nb_gateway.workspace.projects import Projects
from claude_nb_gateway.workspace.usage import UsageRecorder

pytestmark = pytest.mark.anyio

CALLER = Caller("me", Identity.SERVER)
SESSION = "9d8c4f5e-0000-4000-8000-000000000001"
TOKENS = Tokens(input=5, output=7, cache_read=2, cache_creation=1)


def account(session_id=SESSION):
    used = ModelUsage(
        input_tokens=5,
        output_tokens=7,
        cache_read_input_tokens=2,
        cache_creation_input_tokens=1,
        cost_usd=0.25,
    )
    return TurnAccount(
        session_id=session_id,
        model="sonnet",
        outcome="completed",
        usage=used,
        started_at=1000.0,
        duration_seconds=2.0,
        first_token_seconds=0.5,
    )


@pytest.fixture
def projects(tmp_path, store):
    (tmp_path / "work").mkdir()
    return Projects(root=str(tmp_path), allow_hidden=lambda: False, store=store)


@pytest.fixture
def recorder(store, projects):
    return UsageRecorder(store=store, projects=projects)


async def test_first_turn_registers_the_project_and_the_session(
    store, projects, recorder
):
    project = (await projects.resolve("work", CALLER)).project
    assert await store.project(project.id) is None
    recorder.recorder(CALLER, project, None, "Be brief.")(account())
    await recorder.flush()
    session = await store.session(SESSION)
    assert (session.owner, session.project_id) == ("me", project.id)
    assert (session.model, session.system) == ("sonnet", "Be brief.")
    assert session.totals.tokens == TOKENS
    stored = await store.project(project.id)
    assert (stored.totals.turns, stored.totals.cost_usd) == (1, 0.25)


async def test_turn_of_a_session_adds_up(store, recorder):
    session = await store.put_session(SessionRecord(SESSION, "me"))
    record = recorder.recorder(CALLER, None, session)
    for _ in range(2):
        record(account())
    assert session.totals.turns == 2  # at once, before the store has it
    await recorder.flush()
    assert (await store.session(SESSION)).totals.turns == 2


async def test_turn_without_a_session_is_counted_for_its_key(store, recorder):
    key = KeyRecord("k", "ci", "00")
    await store.add_key(key)
    caller = Caller("key:k", Identity.KEY, key)
    recorder.recorder(caller, None, None)(account(session_id=""))
    await recorder.flush()
    assert (await store.key("k")).totals.tokens == TOKENS
    assert await store.sessions() == ([], False)


async def test_session_that_discovery_found_first_becomes_its_callers(
    store, projects, recorder
):
    resolved = await projects.resolve("work", CALLER)
    project = await projects.registered(resolved.project)
    await store.put_session(SessionRecord(SESSION, TERMINAL, project.id))
    recorder.recorder(CALLER, project, None, "Be brief.")(account())
    await recorder.flush()
    session = await store.session(SESSION)
    assert (session.owner, session.system) == ("me", "Be brief.")


async def test_turn_of_a_forgotten_project_is_counted_without_it(
    store, projects, recorder
):
    resolved = await projects.resolve("work", CALLER)
    project = await projects.registered(resolved.project)
    await projects.forget(project)
    session = await store.put_session(SessionRecord(SESSION, "me"))
    recorder.recorder(CALLER, project, session)(account())
    await recorder.flush()
    assert (await store.session(SESSION)).totals.turns == 1


class SlowStore(Store):
    """Does not write before it is told to."""

    async def put_session(self, record):
        await self.writes.wait()
        return await super().put_session(record)


@pytest.fixture
async def slow_store(store):
    slow = SlowStore(database_url=store.database_url)
    slow.writes = asyncio.Event()
    await slow.open()
    yield slow
    slow.writes.set()
    await slow.close()


@pytest.mark.parametrize("wait", ["flush", "close"])
async def test_slow_store_is_not_waited_for_without_end(
    slow_store, projects, monkeypatch, wait
):
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(usage, "CLOSE_SECONDS", 0.01)
    recorder = UsageRecorder(store=slow_store, projects=projects)
    recorder.recorder(CALLER, None, None)(account())
    async with asyncio.timeout(5):
        await getattr(recorder, wait)()
    assert await slow_store.session(SESSION) is None
    slow_store.writes.set()
    monkeypatch.undo()
    await recorder.close()
    assert (await slow_store.session(SESSION)).owner == "me"


async def test_turn_waits_in_the_queue_while_the_store_is_unavailable(
    tmp_path, projects
):
    broken = Store(database_url=f"sqlite:///{tmp_path}/d/gateway.db", retry_seconds=0)
    (tmp_path / "d").write_text("in the way of the database")
    recorder = UsageRecorder(store=broken, projects=projects)
    session = SessionRecord(SESSION, "me")
    recorder.recorder(CALLER, None, session)(account())
    await recorder.flush()  # without an error
    with pytest.raises(StoreUnavailable):
        await broken.session(SESSION)
    (tmp_path / "d").unlink()
    await broken.put_session(session)
    await recorder.flush()
    stored = await broken.session(SESSION)
    await broken.close()
    assert stored.totals.tokens == TOKENS
