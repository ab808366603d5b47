"""The connection to the database, and what has to be set on it."""

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
# libpq takes any shorter time for this one.
SHORTEST_CONNECT_SECONDS = 2


def database_address(database_url: str) -> URL:
    """The address that `database_url` means, with its driver; empty is our file.

    Raises
    ------
    sqlalchemy.exc.ArgumentError
        It is no URL of SQLite or PostgreSQL.
    """
    if not database_url:
        path = Path(jupyter_data_dir(), "claude_nb_gateway", "gateway.db")
        return URL.create(DRIVERS["sqlite"], database=str(path))
    try:
        url = make_url(database_url)
    except ValueError:  # which would show what it took for a port: of a password, say
        raise ArgumentError("the port is no number") from None
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() not in DRIVERS:
        raise ArgumentError(f"unknown database {url.drivername!r}")
    return url


def prepare_file(url: URL) -> None:
    """Make the file of an SQLite database, and its directory, for its user alone."""
    if url.get_backend_name() != "sqlite" or _in_memory(url):
        return
    path = Path(url.database or "")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # SQLite gives the files beside it the permissions of this one.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def files_of(url: URL) -> list[str]:
    """The files that an SQLite database has, or may come to have."""
    if url.get_backend_name() != "sqlite" or _in_memory(url):
        return []
    return [f"{url.database}{end}" for end in ("", "-wal", "-shm", "-journal")]


class Database:
    """The engine, which is not disposed of while somebody uses it."""

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
        """Bring the schema up to date; of several servers at once one does it.

        What is from before there were tenants becomes that of `tenant`.
        """
        # Alembic takes a quarter of a second to load, and servers start often.
        migrations = await asyncio.to_thread(import_module, MIGRATIONS)
        # To change a table of SQLite's is to drop the old one, and with it, by the
        # foreign keys, whatever belongs to its rows.
        changing = self._engine.execution_options(sqlite_foreign_keys="OFF")
        async with changing.connect() as connection:
            async with connection.begin():
                await connection.run_sync(migrations.migrate, tenant=tenant)
            await connection.execution_options(sqlite_foreign_keys="ON")
            async with connection.begin():
                pass

    @asynccontextmanager
    async def begin(self, *, reading: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end; of SQLite's only one may write."""
        self._users += 1
        try:
            engine = self._reader if reading else self._engine
            async with engine.begin() as connection:
                yield connection
        finally:
            self._users -= 1
            await self._dispose_if_idle()

    async def retire(self) -> None:
        """Close all connections as soon as nobody uses them."""
        self._retired = True
        await self._dispose_if_idle()

    async def _dispose_if_idle(self) -> None:
        # A connection in use would come back to a pool that is gone, and stay open.
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
        seconds = max(SHORTEST_CONNECT_SECONDS, round(busy_timeout_seconds))
        # The last ends the wait for a server that is gone without a word.
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
    # For PostgreSQL 0 is without end.
    lock_ms = max(1, round(busy_timeout_seconds * 1000))
    statement_ms = round(statement_timeout_seconds * 1000)

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: DBAPIConnection, _: object) -> None:
        # Not by `options` of the address: it may have some, and a pooler takes none.
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {lock_ms}")
        cursor.execute(f"SET statement_timeout = {statement_ms}")
        cursor.close()
        connection.commit()


def _prepare_sqlite(engine: AsyncEngine, busy_timeout_seconds: float) -> None:
    pragmas = (
        f"busy_timeout={round(busy_timeout_seconds * 1000)}",
        "journal_mode=WAL",
        "synchronous=FULL",  # with less, what was promised is lost with the power
        "foreign_keys=ON",
    )

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: DBAPIConnection, _: object) -> None:
        try:
            # The driver begins no transactions: it would begin none for DDL, and
            # one for reading where one for writing is needed.
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except BaseException:
            connection.close()  # the pool forgets it, and its thread would stay
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns writer fails at once if another wrote meanwhile; a
        # writer from the beginning waits for its turn.
        options = connection.get_execution_options()
        if switch := options.get("sqlite_foreign_keys"):
            # It is heeded between transactions alone.
            connection.exec_driver_sql(f"PRAGMA foreign_keys={switch}")
        connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))


def _in_memory(url: URL) -> bool:
    name = url.database or ":memory:"
    return name == ":memory:" or name.startswith("file:")
