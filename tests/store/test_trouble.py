"""Databases that fail: each says what to do, and works again when that is done."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Pool, event

from claude_nb_gateway.errors import StoreUnavailable

from .conftest import project, session, turn

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

NO_LIMIT_PAGES = 2**30


@pytest.fixture
def unprivileged():
    """A directory of a user who may not do everything, and a way to be them."""
    directory = Path(tempfile.mkdtemp(prefix="store-"))
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    os.chown(directory, user, -1)

    @contextlib.contextmanager
    def as_user():
        before = os.geteuid()
        os.seteuid(user)
        try:
            yield
        finally:
            os.seteuid(before)

    yield directory, as_user
    directory.chmod(0o700)
    shutil.rmtree(directory)


@pytest.fixture
def disk():
    """How large SQLite files may become, in pages: they are full beyond that."""
    limit = {"pages": NO_LIMIT_PAGES}

    def set_limit(connection, *_):
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count={limit['pages']}")
        cursor.close()

    event.listen(Pool, "checkout", set_limit)
    yield limit
    event.remove(Pool, "checkout", set_limit)


@contextlib.contextmanager
def locked(path):
    connection = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


async def made(make, url):
    """A store that has made its database, with one session in it."""
    store = make(url)
    await store.put_session(session("x"))
    assert store.problem == ""
    return store


async def test_file_and_directory_are_for_their_user_alone(make, sqlite_url, tmp_path):
    store = await made(make, sqlite_url)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    assert modes == {0o600}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_locked_database_is_read_but_not_written(make, sqlite_url, sqlite_path):
    store = await made(make, sqlite_url)
    with locked(sqlite_path):
        with pytest.raises(StoreUnavailable, match="locked by another program"):
            await store.put_session(session("y"))
        assert "locked" in store.problem
        assert await store.session("x") == session("x")
    await store.put_session(session("y"))
    assert store.problem == ""


async def test_database_that_is_locked_at_the_start(make, sqlite_url, sqlite_path):
    await (await made(make, sqlite_url)).close()
    store = make(sqlite_url)
    with locked(sqlite_path):
        await store.open()
        assert "locked" in store.problem
    assert await store.session("x") == session("x")
    assert store.problem == ""


async def test_turns_wait_for_space_on_a_full_disk(make, sqlite_url, disk):
    store = await made(make, sqlite_url)
    disk["pages"] = 1  # no more than there are
    big = session("y", system="x" * 100_000)
    with pytest.raises(StoreUnavailable, match="free some space"):
        await store.put_session(big)
    for _ in range(1_000):
        store.record(turn(session_id="x"))
    with pytest.raises(StoreUnavailable, match="free some space"):
        await store.flush()
    disk["pages"] = NO_LIMIT_PAGES
    await store.flush()
    assert await store.put_session(big) == big
    assert (await store.session("x")).totals.turns == 1_000
    assert store.problem == ""


async def test_file_that_may_not_be_written_is_read(make, unprivileged):
    directory, as_user = unprivileged
    path = directory / "gateway.db"
    with as_user():
        await (await made(make, f"sqlite:///{path}")).close()
        path.chmod(0o400)
        store = make(f"sqlite:///{path}")
        assert await store.session("x") == session("x")
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.put_session(session("y"))
        for each in directory.iterdir():  # SQLite made others, no more permissive
            each.chmod(0o600)
        await store.put_session(session("y"))
        assert store.problem == ""
        await store.close()


async def test_directory_that_may_not_be_written(make, unprivileged):
    directory, as_user = unprivileged
    with as_user():
        directory.chmod(0o500)
        store = make(f"sqlite:///{directory}/new/gateway.db")
        await store.open()
        assert "cannot be opened" in store.problem
        directory.chmod(0o700)
        await store.put_session(session("x"))
        assert store.problem == ""
        await store.close()


async def test_file_that_is_no_database(make, sqlite_url, sqlite_path):
    sqlite_path.parent.mkdir()
    sqlite_path.write_bytes(b"not what SQLite writes\n" * 1000)
    store = make(sqlite_url)
    with pytest.raises(StoreUnavailable, match="move it away") as caught:
        await store.put_session(session("x"))
    assert str(sqlite_path) not in str(caught.value)
    sqlite_path.rename(sqlite_path.with_suffix(".bad"))
    await store.put_session(session("x"))
    assert store.problem == ""


async def test_database_damaged_while_in_use(make, sqlite_url, sqlite_path):
    first = await made(make, sqlite_url)
    await first.put_sessions([session(f"{n}", system="x" * 999) for n in range(99)])
    await first.close()
    whole = sqlite_path.read_bytes()
    sqlite_path.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    store = make(sqlite_url)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await store.sessions(limit=1_000)
    sqlite_path.write_bytes(whole)
    found, _ = await store.sessions(limit=1_000)
    assert len(found) == 100


async def test_trouble_is_logged_once(make, sqlite_url, sqlite_path, log, caplog):
    sqlite_path.mkdir(parents=True)
    store = make(sqlite_url, log=log)
    await store.open()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.session("x")
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1


async def test_database_that_failed_is_left_alone_for_a_while(
    make, sqlite_url, sqlite_path
):
    sqlite_path.mkdir(parents=True)
    store = make(sqlite_url, retry_seconds=1_000)
    await store.open()
    problem = store.problem
    sqlite_path.rmdir()
    with pytest.raises(StoreUnavailable) as caught:
        await store.session("x")
    assert caught.value.message == problem


async def test_server_without_the_database(make, postgresql_server, log, caplog):
    store = make(postgresql_server.format("absent"), log=log)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.session("x")
    address = postgresql_server.format("postgres")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE DATABASE absent")
    assert await store.session("x") is None
    assert store.problem == ""


async def test_server_out_of_reach_and_its_password_is_no_secret_told(
    make, tmp_path, log, caplog
):
    store = make(f"postgresql://ann:hunter2@/db?host={tmp_path}", log=log)
    await store.open()
    assert "cannot be reached" in store.problem
    assert caplog.records
    assert "hunter2" not in caplog.text


async def test_server_that_ended_connections_is_connected_to_again(
    make, postgresql_url
):
    store = await made(make, postgresql_url)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert await store.session("x") == session("x")
    assert store.problem == ""


async def test_server_that_lets_nobody_write(make, postgresql_url):
    store = await made(make, postgresql_url)
    await store.close()
    read_only = "ALTER DATABASE {} SET default_transaction_read_only = {}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(read_only.format(name, "on"))
        store = make(postgresql_url)
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.put_session(session("y"))
        # A session keeps what was set when it began.
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(read_only.format(name, "off"))
    await store.put_session(session("y"))
    assert store.problem == ""


async def test_missing_driver_is_named_with_its_remedy(make, monkeypatch):
    store = make("postgresql://localhost/db")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "psycopg", None)
        await store.open()
    assert "pip install 'claude_nb_gateway[postgres]'" in store.problem


@pytest.mark.parametrize(
    "url",
    ["mysql://localhost/db", "nonsense", "sqlite+no:///x", "postgresql://h:port/db"],
)
async def test_unknown_database_is_refused(make, url):
    store = make(url)
    await store.open()
    assert "Store.database_url" in store.problem
    with pytest.raises(StoreUnavailable, match="postgresql://"):
        await store.add_project(project())


async def test_database_in_memory_serves_one_after_the_other(make):
    store = await made(make, "sqlite://")
    assert await store.session("x") == session("x")
