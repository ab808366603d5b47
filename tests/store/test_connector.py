"""The connector opens the database late, and again after a failure."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from claude_nb_gateway.errors import StoreUnavailable
from claude_nb_gateway.store.connector import Connector
from claude_nb_gateway.store.database_errors import NO_DRIVER, REFUSED

pytestmark = pytest.mark.anyio


class Databases:
    """Opens databases that do nothing, or fails to."""

    def __init__(self):
        self.opened = 0
        self.retired = 0
        self.failures = []

    async def open(self):
        if self.failures:
            raise self.failures.pop(0)
        self.opened += 1
        return self

    @asynccontextmanager
    async def begin(self, *, reading):
        yield reading

    async def retire(self):
        self.retired += 1


@pytest.fixture
def databases():
    return Databases()


@pytest.fixture
def make(databases):
    def make(retry_seconds=0):
        return Connector(
            databases.open,
            busy_timeout_seconds=1,
            retry_seconds=retry_seconds,
            log=logging.getLogger("test"),
        )

    return make


def failed(name, error=OperationalError):
    """An error of SQLAlchemy's, with the name that SQLite gives it."""
    cause = sqlite3.OperationalError(name)
    cause.sqlite_errorname = name
    return error("SELECT", {}, cause)


async def use(connector, error=None):
    async with connector.begin(reading=True) as connection:
        if error is not None:
            raise error
        return connection


async def test_database_is_opened_once_and_when_it_is_needed(make, databases):
    connector = make()
    assert databases.opened == 0
    assert [await use(connector) for _ in range(3)] == [True] * 3
    assert databases.opened == 1


async def test_failure_to_open_lasts_for_a_while(make, databases):
    connector = make(retry_seconds=1_000)
    databases.failures = [ImportError("psycopg")]
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="driver"):
            await use(connector)
    assert connector.problem == NO_DRIVER
    connector.retry_now()
    await use(connector)
    assert (connector.problem, databases.opened) == ("", 1)


async def test_database_that_is_locked_at_the_start_is_tried_again(make, databases):
    databases.failures = [failed("SQLITE_BUSY"), failed("SQLITE_BUSY")]
    connector = make()
    await use(connector)
    assert (connector.problem, databases.opened) == ("", 1)


async def test_broken_database_is_opened_anew(make, databases):
    connector = make()
    with pytest.raises(StoreUnavailable, match="damaged"):
        await use(connector, failed("SQLITE_CORRUPT"))
    assert "damaged" in connector.problem
    await use(connector)
    assert (connector.problem, databases.opened, databases.retired) == ("", 2, 1)


async def test_lock_that_passes_needs_no_new_connection(make, databases):
    connector = make(retry_seconds=1_000)
    with pytest.raises(StoreUnavailable, match="locked"):
        await use(connector, failed("SQLITE_BUSY"))
    assert "locked" in connector.problem
    await use(connector)
    assert (connector.problem, databases.opened, databases.retired) == ("", 1, 0)


async def test_refused_record_is_no_problem_of_the_database(make, databases):
    connector = make()
    with pytest.raises(StoreUnavailable) as caught:
        await use(connector, failed("SQLITE_CONSTRAINT_UNIQUE", IntegrityError))
    assert caught.value.message == REFUSED
    assert (connector.problem, databases.opened) == ("", 1)


async def test_closed_database_is_not_opened_again(make, databases):
    connector = make()
    await use(connector)
    await connector.close()
    with pytest.raises(StoreUnavailable, match="stopping"):
        await use(connector)
    assert (databases.opened, databases.retired) == (1, 1)
