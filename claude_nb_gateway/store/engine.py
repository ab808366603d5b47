"""The connections to the database, and their settings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir
from sqlalchemy import URL, AsyncAdaptedQueuePool, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

MIGRATIONS = "claude_nb_gateway.store.migrations"

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
CONNECTIONS = 5
# libpq rounds shorter times up to this.
MIN_CONNECT_SECONDS = 2


def database_address(database_url: str) -> URL:
    """The address in `database_url`, with its driver; if empty, our own file.

    Raises
    ------
    sqlalchemy.exc.ArgumentError
        It is not a URL of SQLite or PostgreSQL.
    """
    if not database_url:
        path = Path(jupyter_data_dir(), "claude_nb_gateway", "gateway.db")
        return URL.create(DRIVERS["sqlite"], database=str(path))
    try:
        url = make_url(database_url)
    except ValueError:  # its message holds the text, which may be part of a password
        raise ArgumentError("the port is not a number") from None
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() not in DRIVERS:
        raise ArgumentError(f"unknown database {url.drivername!r}")
    return url


def prepare_file(url: URL) -> None:
    """Create the file of an SQLite database, and its directory, for its user only."""
    if url.get_backend_name() != "sqlite" or _in_memory(url):
        return
    path = Path(url.database or "")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # SQLite gives this file's permissions to the files beside it.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def files_of(url: URL) -> list[str]:
    """The files that an SQLite database has now, or may have later."""
    if url.get_backend_name() != "sqlite" or _in_memory(url):
        return []
    return [f"{url.database}{end}" for end in ("", "-wal", "-shm", "-journal")]


class Database:
    """An engine that is disposed of only when no transaction uses it."""

    def __init__(
        self,
        url: URL,
        busy_timeout_seconds: float,
        statement_timeout_seconds: float = 0.0,
    ) -> None:
        self._engine = _engine(url, busy_timeout_seconds, statement_timeout_seconds)
        self._reader = self._engine.execution_options(sqlite_begin="BEGIN")
        self._users = 0
        self._retired = False

    async def migrate(self, tenant: str = "") -> None:
        """Bring the schema up to date; if several servers start at once, one does it.

        Rows from before there were tenants become rows of `tenant`.
        """
        # Alembic takes a quarter of a second to load, so load it only here.
        migrations = await asyncio.to_thread(import_module, MIGRATIONS)
        # In SQLite, to change a table means to drop the old one. With foreign keys on,
        # this would delete the rows of other tables that refer to it.
        changing = self._engine.execution_options(sqlite_foreign_keys="OFF")
        async with changing.connect() as connection:
            async with connection.begin():
                await connection.run_sync(migrations.migrate, tenant=tenant)
            await connection.execution_options(sqlite_foreign_keys="ON")
            async with connection.begin():
                pass

    @asynccontextmanager
    async def begin(self, *, reading: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end; in SQLite only one may write."""
        self._users += 1
        try:
            engine = self._reader if reading else self._engine
            async with engine.begin() as connection:
                yield connection
        finally:
            self._users -= 1
            await self._dispose_if_idle()

    async def retire(self) -> None:
        """Close all connections as soon as no transaction uses them."""
        self._retired = True
        await self._dispose_if_idle()

    async def _dispose_if_idle(self) -> None:
        # A connection in use would return to a pool that is gone, and stay open.
        if self._retired and not self._users:
            await self._engine.dispose()


def _engine(
    url: URL, busy_timeout_seconds: float, statement_timeout_seconds: float
) -> AsyncEngine:
    options: dict[str, Any] = {
        "pool_size": 1 if _in_memory(url) else CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": busy_timeout_seconds,
    }
    if url.get_backend_name() == "postgresql":
        seconds = max(MIN_CONNECT_SECONDS, round(busy_timeout_seconds))
        # `tcp_user_timeout` ends the wait for a server that disappeared.
        connect = {"connect_timeout": seconds, "tcp_user_timeout": seconds * 1000}
        engine = create_async_engine(
            url, pool_pre_ping=True, connect_args=connect, **options
        )
        _prepare_postgresql(engine, busy_timeout_seconds, statement_timeout_seconds)
        return engine
    engine = create_async_engine(url, poolclass=AsyncAdaptedQueuePool, **options)
    _prepare_sqlite(engine, busy_timeout_seconds)
    return engine


def _prepare_postgresql(
    engine: AsyncEngine, busy_timeout_seconds: float, statement_timeout_seconds: float
) -> None:
    # In PostgreSQL 0 means no limit.
    lock_ms = max(1, round(busy_timeout_seconds * 1000))
    statement_ms = round(statement_timeout_seconds * 1000)

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: DBAPIConnection, _: object) -> None:
        """Set the timeouts of a new connection."""
        # Not with `options` in the address: the user may have set some, and connection
        # poolers accept none.
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {lock_ms}")
        cursor.execute(f"SET statement_timeout = {statement_ms}")
        cursor.close()
        connection.commit()


def _prepare_sqlite(engine: AsyncEngine, busy_timeout_seconds: float) -> None:
    pragmas = (
        f"busy_timeout={round(busy_timeout_seconds * 1000)}",
        "journal_mode=WAL",
        "synchronous=FULL",  # with less, a power failure loses committed data
        "foreign_keys=ON",
    )

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: DBAPIConnection, _: object) -> None:
        """Set the pragmas of a new connection."""
        try:
            # Transactions are begun below, not by the driver: it would begin none for
            # DDL, and a reading one where a writing one is needed.
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except BaseException:
            connection.close()  # or else its thread would stay
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        """Begin a transaction that may write, unless the options say otherwise."""
        # If a reading transaction starts to write, it fails at once if another one
        # wrote meanwhile. A transaction that writes from the start waits instead.
        options = connection.get_execution_options()
        if switch := options.get("sqlite_foreign_keys"):
            # SQLite ignores this inside a transaction.
            connection.exec_driver_sql(f"PRAGMA foreign_keys={switch}")
        connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))


def _in_memory(url: URL) -> bool:
    name = url.database or ":memory:"
    return name == ":memory:" or name.startswith("file:")
