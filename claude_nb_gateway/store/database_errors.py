"""The errors of databases, as errors that tell the operator what to do."""

from __future__ import annotations

import errno

from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..errors import StoreUnavailable

#: What SQLAlchemy and the drivers raise when the database fails.
DATABASE_ERRORS = (SQLAlchemyError, OSError, ImportError, OverflowError)

LOCKED = (
    "The gateway's database is locked by another program: try again. If that does not "
    "help, end that program."
)
SLOW = (
    "The gateway's database took too long to answer: try again. If that does not help, "
    "check what keeps the database busy."
)
FULL = "The disk of the gateway's database is full: free some space on it."
READ_ONLY = (
    "The gateway's database is read-only: give the user of the server write permission "
    "for its directory, its file and the files beside it."
)
UNOPENABLE = (
    "The gateway's database cannot be opened: give the user of the server "
    "permission to enter its directory, and to read and write its file."
)
CORRUPT = (
    "The gateway's database is damaged, or is not an SQLite file: restore it from a "
    "backup; or move it away, and the gateway creates a new one."
)
NEWER = (
    "The gateway's database was created by a newer version of claude_nb_gateway: "
    "upgrade with `pip install --upgrade claude_nb_gateway`."
)
UNREACHABLE = (
    "The gateway's database server cannot be reached, or refuses the login: check that "
    "it runs, and check the address, user and password in Store.database_url."
)
NO_DRIVER = (
    "The driver of the gateway's database is not installed: "
    "`pip install 'claude_nb_gateway[postgres]'`."
)
BAD_URL = (
    "Store.database_url is not a URL of a database that the gateway knows: use "
    "sqlite:///… or postgresql://…."
)
NO_TENANT = (
    "The server has no name for its rows in the gateway's database: give the user of "
    "the server write permission for Jupyter's data directory, or set Store.tenant."
)
REFUSED = "The gateway's database refused a record that conflicts with what it holds."
CLOSED = "The gateway's database is closed: the server is stopping."
OTHER = "The gateway's database failed: see the server's log."

# Failures that may be over at the next attempt, and need no new connection.
TRANSIENT = frozenset({LOCKED, SLOW, FULL, REFUSED})

_BY_SQLITE = {
    "SQLITE_BUSY": LOCKED,
    "SQLITE_LOCKED": LOCKED,
    "SQLITE_FULL": FULL,
    "SQLITE_READONLY": READ_ONLY,
    "SQLITE_CANTOPEN": UNOPENABLE,
    "SQLITE_PERM": UNOPENABLE,
    "SQLITE_CORRUPT": CORRUPT,
    "SQLITE_NOTADB": CORRUPT,
    "SQLITE_CONSTRAINT": REFUSED,
}
# By a whole code, or by its beginning: https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_SQLSTATE = {
    "53100": FULL,
    "25006": READ_ONLY,
    "55P03": LOCKED,
    "57014": SLOW,
    "40": LOCKED,
    "XX": CORRUPT,
    "08": UNREACHABLE,
    "28": UNREACHABLE,
    "3D": UNREACHABLE,
    "57P": UNREACHABLE,
    "22": REFUSED,
    "23": REFUSED,
}
_BY_ERRNO = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: UNOPENABLE,
    errno.EPERM: UNOPENABLE,
    errno.ENOENT: UNOPENABLE,
    errno.ENOTDIR: UNOPENABLE,
    errno.EEXIST: UNOPENABLE,
    errno.EISDIR: UNOPENABLE,
}


def store_unavailable(error: Exception) -> StoreUnavailable:
    """The StoreUnavailable for `error`, which is one of `DATABASE_ERRORS` or itself."""
    if isinstance(error, StoreUnavailable):
        return error
    cause = (error.orig if isinstance(error, DBAPIError) else None) or error
    detail = f"{type(cause).__name__}: {cause}"
    return StoreUnavailable(_message(error, cause), detail=detail)


def _message(error: Exception, cause: BaseException) -> str:
    if isinstance(error, PoolTimeout):
        return LOCKED
    if isinstance(error, ArgumentError | NoSuchModuleError):
        return BAD_URL
    if isinstance(error, OverflowError):  # a number that is too large for SQLite
        return REFUSED
    if isinstance(error, ImportError):
        return NO_DRIVER
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, OTHER)
    if name := getattr(cause, "sqlite_errorname", ""):
        return _by_prefix(_BY_SQLITE, name)
    if hasattr(cause, "sqlstate"):
        return _postgresql_message(cause.sqlstate, error)
    return OTHER


def _postgresql_message(sqlstate: str | None, error: Exception) -> str:
    if sqlstate is not None:
        return _by_prefix(_BY_SQLSTATE, sqlstate)
    # psycopg gives no state if there was never a connection, or if it broke.
    kind = type(getattr(error, "orig", None)).__name__
    gone = kind in ("OperationalError", "ConnectionTimeout")
    return UNREACHABLE if gone else OTHER


def _by_prefix(messages: dict[str, str], code: str) -> str:
    found = (text for prefix, text in messages.items() if code.startswith(prefix))
    return next(found, OTHER)
