"""Tables that another program has locked, or that take too long: no wait is long."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import psycopg
import pytest

from claude_nb_gateway.errors import StoreUnavailable
from claude_nb_gateway.testing.server import running_gateway

from ..api.resources import CHAT, chat, error_of, http, make_project, words
from .conftest import session

pytestmark = pytest.mark.anyio

TABLES = "projects, sessions, turns, keys"


@contextlib.contextmanager
def locked(url):
    """Let a program keep all tables of the database to itself."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, isolation_level=None)
        lock = "BEGIN EXCLUSIVE"
    else:
        connection = psycopg.connect(url)
        lock = f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE"
    with contextlib.closing(connection):
        connection.execute(lock)
        yield
        connection.execute("ROLLBACK")


async def test_locked_table_is_waited_for_no_longer_than_configured(make, url):
    store = make(url, busy_timeout_seconds=0.2)
    await store.put_session(session("x"))
    with locked(url):
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable, match="locked by another program"):
                await store.put_session(session("y"))
    assert await store.put_session(session("y")) == session("y")
    assert store.problem == ""


async def test_read_of_a_locked_table_is_as_short(make, postgresql_url):
    store = make(postgresql_url, busy_timeout_seconds=0.2)
    await store.put_session(session("x"))
    with locked(postgresql_url):
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable, match="locked by another program"):
                await store.sessions()


async def test_slow_statement_is_ended(make, postgresql_url):
    store = make(postgresql_url, busy_timeout_seconds=30, statement_timeout_seconds=0.2)
    await store.open()
    with (
        locked(postgresql_url),  # for longer than a statement may take
        pytest.raises(StoreUnavailable, match="took too long"),
    ):
        await store.session("x")
    assert await store.session("x") is None


async def test_server_starts_while_a_table_is_locked(make, postgresql_url):
    await make(postgresql_url).open()
    store = make(postgresql_url, busy_timeout_seconds=0.2)
    with locked(postgresql_url), psycopg.connect(postgresql_url) as other:
        other.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(5):
            await store.open()
        assert "locked" in store.problem
        other.rollback()
    await store.put_session(session("x"))
    assert store.problem == ""


@pytest.mark.soak
def test_gateway_with_locked_tables_says_so_and_chats_on(tmp_path, model, url):
    options = (
        f"--Store.database_url={url}",
        "--Store.busy_timeout_seconds=0.2",
        "--Store.retry_seconds=0",
    )
    with (
        running_gateway(tmp_path, model.url, *options) as gateway,
        http(gateway) as client,
    ):
        client.timeout = 10
        make_project(client, "work")
        (tmp_path / "new").mkdir()
        with locked(url):
            for response in (
                client.post("sessions", json={}),
                client.post("projects", json={"path": "other"}),
            ):
                assert error_of(response) == (503, "store_unavailable")
            assert words(chat(client, path=f"projects/work/{CHAT}")) == "hello"
            if url.startswith("postgresql"):  # of SQLite's, readers go on
                for path in ("sessions", "projects", "projects/work"):
                    assert error_of(client.get(path)) == (503, "store_unavailable")
        assert client.post("sessions", json={}).status_code == 200
        assert client.get("projects/work").json()["usage"]["turns"] == 1
