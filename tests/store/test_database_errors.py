"""What the operator is told when the database fails."""

from __future__ import annotations

import errno

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from claude_nb_gateway.errors import StoreUnavailable
from claude_nb_gateway.store.database_errors import (
    CLOSED,
    CORRUPT,
    FULL,
    LOCKED,
    OTHER,
    READ_ONLY,
    REFUSED,
    SLOW,
    UNOPENABLE,
    UNREACHABLE,
    store_unavailable,
)


class FromDriver(Exception):
    """An error of a driver, with the attributes that it has."""

    def __init__(self, **attributes):
        super().__init__("said by the driver")
        vars(self).update(attributes)


class OperationalError(FromDriver):
    """That of psycopg, by its name."""


def told(error):
    if isinstance(error, FromDriver):
        error = DBAPIError("SELECT secret", {}, error)
    return store_unavailable(error).message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SQLITE_BUSY", LOCKED),
        ("SQLITE_BUSY_SNAPSHOT", LOCKED),
        ("SQLITE_LOCKED_SHAREDCACHE", LOCKED),
        ("SQLITE_FULL", FULL),
        ("SQLITE_READONLY_DIRECTORY", READ_ONLY),
        ("SQLITE_CANTOPEN_ISDIR", UNOPENABLE),
        ("SQLITE_CORRUPT_INDEX", CORRUPT),
        ("SQLITE_CONSTRAINT_PRIMARYKEY", REFUSED),
        ("SQLITE_MISUSE", OTHER),
    ],
)
def test_errors_of_sqlite_are_told_by_their_names(name, message):
    assert told(FromDriver(sqlite_errorname=name)) == message


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("53100", FULL),
        ("53200", OTHER),
        ("25006", READ_ONLY),
        ("55P03", LOCKED),
        ("57014", SLOW),
        ("57P01", UNREACHABLE),
        ("40P01", LOCKED),
        ("XX001", CORRUPT),
        ("08006", UNREACHABLE),
        ("28P01", UNREACHABLE),
        ("3D000", UNREACHABLE),
        ("22003", REFUSED),
        ("23505", REFUSED),
        ("42P01", OTHER),
    ],
)
def test_errors_of_postgresql_are_told_by_their_states(state, message):
    assert told(FromDriver(sqlstate=state)) == message


def test_postgresql_without_a_connection_has_no_state():
    assert told(OperationalError(sqlstate=None)) == UNREACHABLE
    assert told(FromDriver(sqlstate=None)) == OTHER


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "x"), FULL),
        (OSError(errno.EDQUOT, "x"), FULL),
        (OSError(errno.EROFS, "x"), READ_ONLY),
        (PermissionError(errno.EACCES, "x"), UNOPENABLE),
        (OSError(errno.EIO, "x"), OTHER),
        (OSError("without a number"), OTHER),
        (OverflowError("int too large"), REFUSED),
        (PoolTimeout("all connections are in use"), LOCKED),
    ],
)
def test_errors_without_a_driver_are_told_too(error, message):
    assert told(error) == message


def test_what_the_driver_says_is_for_the_log_alone():
    found = store_unavailable(DBAPIError("SELECT secret", {}, FromDriver()))
    assert found.message == OTHER
    assert found.detail == "FromDriver: said by the driver"


def test_what_is_told_already_stays_as_it_is():
    error = StoreUnavailable(CLOSED, detail="x")
    assert store_unavailable(error) is error
