"""What the database's many failures mean to who runs the gateway."""

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

#: What a database raises when it does not do as it is told.
TROUBLE = (SQLAlchemyError, OSError, ImportError, OverflowError)

LOCKED = (
    "The gateway's database is locked by another program: try again, and end the "
    "program that keeps it if that does not help."
)
SLOW = (
    "The gateway's database took too long to answer: try again, and look at what keeps "
    "it busy if that does not help."
)
FULL = "The disk of the gateway's database is full: free some space on it."
READ_ONLY = (
    "The gateway's database is read-only: let the user of the server write to its "
    "directory, its file and the files beside it."
)
UNOPENABLE = (
    "The gateway's database cannot be opened: let the user of the server enter its "
    "directory and read and write its file."
)
CORRUPT = (
    "The gateway's database is damaged, or is no SQLite file: restore it from a "
    "backup, or move it away and the gateway begins a new one."
)
NEWER = (
    "The gateway's database was made by a newer version of claude_nb_gateway: "
    "upgrade with `pip install --upgrade claude_nb_gateway`."
)
UNREACHABLE = (
    "The gateway's database server cannot be reached, or lets nobody in: check that "
    "it runs, and the address, user and password in Store.database_url."
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
    "The server's tenant in the gateway's database has no name: let the user of the "
    "server write to Jupyter's data directory, or set Store.tenant."
)
REFUSED = "The gateway's database refused what is at odds with what it holds."
CLOSED = "The gateway's database is closed: the server is stopping."
OTHER = "The gateway's database failed: the server's log says how."

# Whether what is wrong may be over at once, and needs no new connection.
PASSING = frozenset({LOCKED, SLOW, FULL, REFUSED})

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
# By class or whole: https://www.postgresql.org/docs/current/errcodes-appendix.html
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


def unavailable(error: Exception) -> StoreUnavailable:
    """The error to raise for `error`, one of `TROUBLE`."""
    cause = (error.orig if isinstance(error, DBAPIError) else None) or error
    detail = f"{type(cause).__name__}: {cause}"
    return StoreUnavailable(_message(error, cause), detail=detail)


def _message(error: Exception, cause: BaseException) -> str:
    if isinstance(error, PoolTimeout):
        return LOCKED
    if isinstance(error, ArgumentError | NoSuchModuleError):
        return BAD_URL
    if isinstance(error, OverflowError):  # a number larger than SQLite's
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
    # psycopg knows no state when there never was a connection, or is none any more.
    kind = type(getattr(error, "orig", None)).__name__
    gone = kind in ("OperationalError", "ConnectionTimeout")
    return UNREACHABLE if gone else OTHER


def _by_prefix(messages: dict[str, str], code: str) -> str:
    found = (text for prefix, text in messages.items() if code.startswith(prefix))
    return next(found, OTHER)
