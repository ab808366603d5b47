"""What every database has to do."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine, event

from claude_nb_gateway.errors import StoreUnavailable
from claude_nb_gateway.store.engine import Database, database_address
from claude_nb_gateway.store.records import KeyRecord, Tokens, Totals
from claude_nb_gateway.store.turns import write_turns

from .conftest import project, session, turn

pytestmark = pytest.mark.anyio

ONE_TURN = Totals(1, Tokens(1, 2, 3, 4), 0.5)
TWO_TURNS = Totals(2, Tokens(2, 4, 6, 8), 1.0)


@pytest.fixture
def statements():
    """The statements that are sent to any database, as they are sent."""
    sent = []

    def remember(connection, cursor, statement, *_):
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", remember)
    yield sent
    event.remove(Engine, "before_cursor_execute", remember)


def ids(page):
    records, more = page
    return [record.id for record in records], more


async def test_project_is_found_by_id_and_by_directory(store):
    added = await store.add_project(project("a", trusted=True, created_at=1.5))
    assert await store.project("proj_a") == added
    assert await store.project_at("/work/a") == added
    assert added == project("a", trusted=True, created_at=1.5)
    assert await store.project("proj_b") is None
    assert await store.project_at("/work") is None


async def test_second_project_of_a_directory_is_the_first(store):
    first = await store.add_project(project("a"))
    assert await store.add_project(project("b", directory="/work/a")) == first
    assert await store.project("proj_b") is None


async def test_project_added_by_many_at_once_is_one(store):
    several = [project(str(n), directory="/work") for n in range(8)]
    added = await asyncio.gather(*map(store.add_project, several))
    assert len({each.id for each in added}) == 1


async def test_projects_are_those_at_or_below_a_directory(store):
    places = ["/w", "/w/a", "/w/a_b", "/w/aXb/c", "/w/a%", "/w/A/x", "/wa"]
    for number, place in enumerate(places):
        new = project(str(number), directory=place, created_at=float(number))
        await store.add_project(new)

    async def within(directory):
        found, _ = await store.projects(directory)
        return {each.directory for each in found}

    assert await within("/") == set(places)
    assert await within("/w") == set(places) - {"/wa"}
    assert await within("/w/a") == {"/w/a"}
    assert await within("/w/a_b") == {"/w/a_b"}
    assert await within("/w/a%") == {"/w/a%"}
    assert await within("/elsewhere") == set()


async def test_projects_come_in_pages_the_newest_first(store):
    for number in range(5):
        await store.add_project(project(str(number), created_at=float(number // 2)))
    assert ids(await store.projects("/", 2)) == (["proj_4", "proj_3"], True)
    second = await store.projects("/", 2, "proj_3")
    assert ids(second) == (["proj_2", "proj_1"], True)
    assert ids(await store.projects("/", 2, "proj_1")) == (["proj_0"], False)
    assert ids(await store.projects("/", 2, "unknown")) == ([], False)


async def test_projects_know_their_sessions_and_totals_by_one_query(store, statements):
    await store.add_project(project("a"))
    await store.add_project(project("b"))
    await store.put_sessions([session(n, project_id="proj_a") for n in "xyz"])
    for _ in range(2):
        store.record(turn(project_id="proj_a", session_id="x"))
    await store.flush()
    statements.clear()
    (b, a), _ = await store.projects("/")
    assert len(statements) == 1
    assert (a.sessions, a.totals, a.last_used_at) == (3, TWO_TURNS, 100.0)
    assert (b.sessions, b.totals, b.last_used_at) == (0, Totals(), None)


async def test_project_is_changed(store):
    await store.add_project(project("a"))
    changed = await store.update_project("proj_a", name="new", trusted=True)
    assert (changed.name, changed.trusted) == ("new", True)
    assert await store.project("proj_a") == changed
    assert await store.update_project("proj_a") == changed
    assert await store.update_project("proj_b", name="new") is None


async def test_deleted_project_takes_its_sessions_but_not_its_turns(store):
    await store.add_project(project("a"))
    await store.put_session(session("x", project_id="proj_a"))
    await store.put_session(session("y"))
    await store.add_key(KeyRecord("k", "ci", "00", "proj_a"))
    store.record(turn(project_id="proj_a", session_id="x", key_id="k"))
    await store.flush()
    assert await store.delete_project("proj_a")
    assert not await store.delete_project("proj_a")
    assert ids(await store.sessions()) == (["y"], False)
    key = await store.key("k")
    assert key.totals == ONE_TURN
    assert key.project_id == "proj_a"  # good for nothing, and not for everything


async def test_turn_of_a_project_deleted_meanwhile_is_stored(store):
    await store.add_key(KeyRecord("k", "ci", "00"))
    store.record(turn(project_id="gone", session_id="gone", key_id="k"))
    await store.flush()
    assert (await store.key("k")).totals == ONE_TURN


async def test_session_is_added_once(store):
    first = session("x", title="one", model="m", system="s", last_uuid="u")
    assert await store.put_session(first) == first
    assert await store.put_session(session("x", title="two")) == first
    await store.put_sessions([session("x", title="three"), session("y")])
    await store.put_sessions([])
    assert await store.session("x") == first
    assert await store.session("y") == session("y")
    assert await store.session("z") is None


async def test_session_is_changed_and_deleted(store):
    await store.put_session(session("x"))
    changed = await store.update_session("x", title="t", updated_at=3.25)
    assert changed == session("x", title="t", updated_at=3.25)
    assert await store.session("x") == changed
    assert await store.update_session("y", title="t") is None
    assert await store.delete_session("x")
    assert not await store.delete_session("x")
    assert await store.session("x") is None


async def test_text_that_a_database_cannot_hold_is_mended(store):
    await store.put_session(session("x", title="nul \0, half \ud83d, whole 😀"))
    assert (await store.session("x")).title == "nul , half ?, whole 😀"


async def test_sessions_are_of_the_projects_and_of_the_owner_without_one(store):
    await store.add_project(project("a"))
    await store.add_project(project("b"))
    await store.put_sessions(
        [
            session("1", project_id="proj_a", owner="bob"),
            session("2", project_id="proj_b"),
            session("3"),
            session("4", owner="bob"),
        ]
    )

    async def found(**which):
        return set(ids(await store.sessions(**which))[0])

    assert await found() == {"1", "2", "3", "4"}
    assert await found(owner="ann") == {"3"}
    assert await found(project_ids=["proj_a"]) == {"1"}
    assert await found(project_ids={"proj_a", "proj_b"}) == {"1", "2"}
    assert await found(project_ids=["proj_a"], owner="ann") == {"1", "3"}
    assert await found(project_ids=[], owner="bob") == {"4"}
    assert await found(project_ids=[]) == set()


async def test_sessions_come_in_pages_of_one_query_each(store, statements):
    times = {"a": 1.0, "b": 2.0, "c": 2.0, "d": 2.0, "e": 3.0}
    await store.put_sessions([session(n, updated_at=t) for n, t in times.items()])
    statements.clear()
    assert ids(await store.sessions(limit=2)) == (["e", "d"], True)
    assert ids(await store.sessions(limit=2, after="d")) == (["c", "b"], True)
    assert ids(await store.sessions(limit=2, after="b")) == (["a"], False)
    upwards = await store.sessions(limit=3, after="b", ascending=True)
    assert ids(upwards) == (["c", "d", "e"], False)
    assert ids(await store.sessions(after="unknown")) == ([], False)
    assert len(statements) == 5


async def test_ten_thousand_sessions_are_one_query_and_others_run_meanwhile(
    store, statements
):
    await store.put_sessions([session(f"{n:05}") for n in range(10_000)])
    loop = asyncio.get_running_loop()
    turns_of_the_loop = 0

    def other():
        nonlocal turns_of_the_loop, following
        turns_of_the_loop += 1
        following = loop.call_soon(other)

    statements.clear()
    following = loop.call_soon(other)
    records, more = await store.sessions(limit=10_000)
    following.cancel()
    assert (len(records), more, len(statements)) == (10_000, False, 1)
    assert turns_of_the_loop >= 10_000 / 500


async def test_turns_are_added_up_wherever_they_belong(store):
    await store.add_project(project("a"))
    await store.put_session(session("x", project_id="proj_a", updated_at=1.0))
    await store.add_key(KeyRecord("k", "ci", "00"))
    ids = {"session_id": "x", "project_id": "proj_a", "key_id": "k"}
    store.record(turn(started_at=200.0, duration_seconds=5.0, **ids))
    store.record(turn(started_at=100.0, first_token_seconds=0.5, **ids))
    await store.flush()
    found = await store.session("x")
    assert (found.totals, found.updated_at) == (TWO_TURNS, 205.0)
    key, of_project = await store.key("k"), await store.project("proj_a")
    assert (key.totals, key.last_used_at) == (TWO_TURNS, 200.0)
    assert (of_project.totals, of_project.last_used_at) == (TWO_TURNS, 200.0)


async def test_turns_are_written_without_being_waited_for(store):
    await store.put_session(session("x"))
    for _ in range(1_200):
        store.record(turn(session_id="x"))
    async with asyncio.timeout(10):
        while (await store.session("x")).totals.turns < 1_200:
            pass  # each query lets the writer go on
    assert (await store.session("x")).totals.turns == 1_200


async def test_turn_written_twice_counts_once(store, url):
    await store.put_session(session("x"))
    first = ("first", turn(session_id="x"))
    second = ("second", turn(session_id="x"))
    database = Database(database_address(url), 5)
    for batch in ([first], [first, second], [first, second]):
        async with database.begin() as connection:
            await write_turns(connection, store.tenant, batch)
    await database.retire()
    assert (await store.session("x")).totals == TWO_TURNS


async def test_turn_that_the_database_refuses_holds_up_no_other(store):
    await store.put_session(session("x"))
    store.record(turn(session_id="x"))
    store.record(turn(session_id="x", tokens=Tokens(2**64)))
    store.record(turn(session_id="x"))
    await store.flush()
    assert (await store.session("x")).totals == TWO_TURNS
    assert store.problem == ""


async def test_too_many_turns_lose_the_oldest(make, url):
    store = make(url, busy_timeout_seconds=5, max_queued_turns=3)
    await store.put_session(session("x"))
    for cost in range(5):
        store.record(turn(session_id="x", cost_usd=float(cost)))
    await store.flush()
    found = await store.session("x")
    assert (found.totals.turns, found.totals.cost_usd) == (3, 2.0 + 3.0 + 4.0)


async def test_closing_writes_what_is_queued(make, url):
    first = make(url, busy_timeout_seconds=5)
    await first.put_session(session("x"))
    first.record(turn(session_id="x"))
    await first.close()
    with pytest.raises(StoreUnavailable, match="stopping"):
        await first.session("x")
    second = make(url, busy_timeout_seconds=5)
    assert (await second.session("x")).totals == ONE_TURN


async def test_keys_are_kept_and_revoked(store):
    one = KeyRecord("1", "one", "aa", None, None, 1.0, 9.0)
    two = KeyRecord("2", "two", "bb", "proj_a", ("Read", "Grep"), 2.0)
    none = KeyRecord("3", "none", "cc", None, (), 3.0)
    for key in (two, one, none):
        await store.add_key(key)
    assert await store.keys() == [one, two, none]
    assert await store.key("2") == two
    assert await store.key("4") is None
    assert await store.revoke_key("1", 5.0)
    assert not await store.revoke_key("1", 6.0)
    assert not await store.revoke_key("4", 6.0)
    assert (await store.key("1")).revoked_at == 5.0


async def test_second_key_of_an_id_is_refused(store):
    await store.add_key(KeyRecord("1", "one", "aa"))
    with pytest.raises(StoreUnavailable, match="conflicts"):
        await store.add_key(KeyRecord("1", "two", "bb"))
    assert store.problem == ""
    assert (await store.key("1")).name == "one"


async def test_key_is_looked_up_by_one_query(store, statements):
    await store.open()
    statements.clear()
    await store.key("1")
    assert len(statements) == 1
