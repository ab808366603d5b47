from __future__ import annotations

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from claude_nb_gateway.errors import StoreUnavailable
from claude_nb_gateway.store.engine import Database, database_address, prepare_file
from claude_nb_gateway.store.migrations import migrate
from claude_nb_gateway.store.records import KeyRecord, Tokens, Totals
from claude_nb_gateway.store.tables import metadata

from .conftest import project, session, turn

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

OLD_ROWS = (
    "INSERT INTO projects (id, directory, name, description, trusted, created_at)"
    " VALUES ('proj_a', '/work/a', 'a', '', false, 1)",
    "INSERT INTO sessions (id, owner, project_id, title, model, system, created_at,"
    " updated_at, last_uuid, turns, input_tokens, cost_usd)"
    " VALUES ('x', 'ann', 'proj_a', '', '', '', 0, 7, '', 1, 5, 0.25)",
    "INSERT INTO turns (id, owner, model, outcome, started_at, duration_seconds,"
    " input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, cost_usd,"
    " session_id) VALUES ('t', 'ann', 'm', 'ok', 5, 2, 5, 0, 0, 0, 0.25, 'x')",
)


@pytest.fixture
async def database(url):
    """The database itself, without a store."""
    address = database_address(url)
    prepare_file(address)
    database = Database(address, 5)
    yield database
    await database.retire()


async def test_database_of_the_first_version_keeps_its_rows(database, store):
    async with database.begin() as connection:
        await connection.run_sync(migrate, "0001")
        for statement in OLD_ROWS:
            await connection.execute(text(statement))
    await store.open()
    assert store.problem == ""
    found = await store.session("x")
    assert found.totals == Totals(1, Tokens(5), 0.25)
    assert (await store.project("proj_a")).sessions == 1
    await store.add_key(KeyRecord("k", "ci", "00"))
    store.record(turn(session_id="x", key_id="k"))
    await store.flush()
    assert (await store.session("x")).totals.turns == 2
    async with database.begin(reading=True) as connection:
        turns = await connection.execute(text("SELECT cost_usd, key_id FROM turns"))
        assert set(turns.all()) == {(0.25, None), (0.5, "k")}


KEY = "INSERT INTO keys (id, name, hash, created_at) VALUES ('k', 'ci', '00', 1)"
BEFORE_TENANTS = (
    *OLD_ROWS,
    "UPDATE turns SET project_id = 'proj_a', key_id = 'k'",
    "UPDATE projects SET trusted = true",
    KEY,
)


@pytest.mark.parametrize(("tenant", "trusted"), [("", True), ("ann", False)])
async def test_rows_of_no_tenant_are_the_first_servers(
    database, make, url, tenant, trusted
):
    async with database.begin() as connection:
        await connection.run_sync(migrate, "0002")
        for statement in BEFORE_TENANTS:
            await connection.execute(text(statement))
    first = make(url, busy_timeout_seconds=5, tenant=tenant)
    await first.open()
    assert first.problem == ""
    second = make(url, busy_timeout_seconds=5, tenant="bob")
    found = await first.project("proj_a")
    assert (found.sessions, found.trusted) == (1, trusted)
    assert (await first.session("x")).project_id == "proj_a"
    assert [key.id for key in await first.keys()] == ["k"]
    async with database.begin(reading=True) as connection:
        turns = await connection.execute(text("SELECT tenant, project_id FROM turns"))
        assert turns.all() == [(tenant, "proj_a")]
    assert await second.project("proj_a") is None
    assert await second.sessions() == ([], False)
    assert await second.keys() == []

    # What belongs to a project still goes with it.
    assert await first.delete_project("proj_a")
    assert await first.session("x") is None


async def test_migrations_lead_to_the_schema_of_the_tables(database, store):
    await store.open()

    def differences(connection):
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, metadata)

    async with database.begin(reading=True) as connection:
        assert await connection.run_sync(differences) == []


async def test_newer_schema_is_left_alone(database, store):
    await store.add_project(project("a"))
    version = text("UPDATE alembic_version SET version_num = :version")
    async with database.begin() as connection:
        await connection.execute(version, {"version": "9999"})
    newer = type(store)(database_url=store.database_url, retry_seconds=0)
    await newer.open()
    assert "pip install --upgrade" in newer.problem
    with pytest.raises(StoreUnavailable, match="newer version") as caught:
        await newer.project("proj_a")
    assert "9999" in caught.value.detail
    async with database.begin() as connection:
        await connection.execute(version, {"version": "0003"})
    assert await newer.project("proj_a") == project("a")
    assert newer.problem == ""
    await newer.close()


async def test_servers_that_start_at_once_share_a_new_database(make, url):
    stores = [make(url, busy_timeout_seconds=5) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    assert [store.problem for store in stores] == [""] * 6
    await stores[0].put_session(session("x"))
    for store in stores:
        store.record(turn(session_id="x"))
    await asyncio.gather(*(store.flush() for store in stores))
    assert (await stores[-1].session("x")).totals.turns == 6
