"""The database of projects, sessions, turns and keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import Delete, Select, Table, Update, delete, insert, update
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection
from traitlets import Float, Integer, Unicode, default
from traitlets.config import LoggingConfigurable

from ..errors import StoreUnavailable
from .connector import Connector
from .database_errors import DATABASE_ERRORS, NO_TENANT, store_unavailable
from .engine import Database, database_address, files_of, prepare_file
from .queries import (
    ALL_KEYS,
    ALL_PROJECTS,
    ALL_SESSIONS,
    insert_if_new,
    of_tenant,
    projects_page,
    sessions_page,
)
from .records import KeyRecord, Project, SessionRecord, TurnRecord
from .rows import key_from, project_from, row_of, session_from
from .tables import keys, projects, sessions
from .tenants import tenant_for
from .turns import Batch, TurnQueue, write_turns

#: Number of rows that become records before other tasks of the event loop may run.
ROWS_AT_ONCE = 500
#: Maximum time to write the queued turns when the store is closed.
CLOSE_SECONDS = 5

Statement = TypeVar("Statement", Select[Any], Update, Delete)


class Store(LoggingConfigurable):
    """Keeps in a database what outlives the server.

    Every asynchronous method except `open` and `close` raises StoreUnavailable when
    the database fails. The next call tries again.
    """

    database_url = Unicode(
        "",
        config=True,
        help="""The database of projects, sessions, turns and keys, as an SQLAlchemy
        URL: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME. The default is the
        file claude_nb_gateway/gateway.db in Jupyter's data directory.""",
    )
    busy_timeout_seconds = Float(
        5.0,
        min=0,
        config=True,
        help="""Maximum time to wait for another writer, for a locked table, or for the
        database server.""",
    )
    statement_timeout_seconds = Float(
        15.0,
        min=0,
        config=True,
        help="""Maximum time of a statement in PostgreSQL; 0 means no limit. In SQLite
        only the wait for another writer can be long, and busy_timeout_seconds limits
        that.""",
    )
    tenant = Unicode(
        config=True,
        help="""The name of the server's own rows, if several servers share a database:
        each server sees only the rows of its tenant. The default is the name of the
        server in the hub. Without a hub, it is empty for SQLite, and for PostgreSQL it
        is a random name, kept in Jupyter's data directory.""",
    )

    @default("tenant")
    def _default_tenant(self) -> str:
        try:
            url = database_address(self.database_url)
            return tenant_for(url, is_own_file=not self.database_url)
        except OSError as error:
            raise StoreUnavailable(NO_TENANT, detail=str(error)) from error
        except DATABASE_ERRORS as error:
            raise store_unavailable(error) from error

    retry_seconds = Float(
        30.0,
        min=0,
        config=True,
        help="Time after a failure of the database before it is used again.",
    )
    max_queued_turns = Integer(
        10_000,
        min=1,
        config=True,
        help="""Maximum number of turns waiting in memory for the database. If there are
        more, the oldest are lost.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._connector = Connector(
            self._open_database,
            busy_timeout_seconds=self.busy_timeout_seconds,
            retry_seconds=self.retry_seconds,
            log=self.log,
        )
        self._turns = TurnQueue(
            self._write_turns,
            max_turns=self.max_queued_turns,
            retry_seconds=self.retry_seconds,
            log=self.log,
        )

    @property
    def problem(self) -> str:
        """What is wrong with the database, for clients; empty if nothing is."""
        return self._connector.problem

    @property
    def files(self) -> list[str]:
        """The files of the database; empty for a database server."""
        with contextlib.suppress(ArgumentError):
            return files_of(database_address(self.database_url))
        return []

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        A failure is logged, and is in `problem`.
        """
        self._connector.closed = False
        with contextlib.suppress(StoreUnavailable):
            await self._connector.connect()

    async def close(self) -> None:
        """Write the queued turns, within `CLOSE_SECONDS`, and disconnect."""
        self._connector.retry_now()
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.flush()
        self._connector.closed = True
        await self._turns.stop()
        await self._connector.close()

    # Projects

    async def add_project(self, project: Project) -> Project:
        """Add `project`, unless its id or directory is there; returns what is there."""
        own_id = projects.c.id == project.id
        # The project with this id may have another directory by now. So the project
        # with this directory comes first.
        where = (projects.c.directory == project.directory) | own_id
        statement = self._of_tenant(ALL_PROJECTS, projects).where(where)
        statement = statement.order_by(own_id)
        async with self._writing() as connection:
            await self._insert_if_new(connection, projects, [project])
            return project_from((await connection.execute(statement)).all()[0])

    async def project(self, project_id: str) -> Project | None:
        """The project `project_id`, None if there is none."""
        where = projects.c.id == project_id
        row = await self._first(self._of_tenant(ALL_PROJECTS, projects).where(where))
        return None if row is None else project_from(row)

    async def project_at(self, directory: str) -> Project | None:
        """The project with exactly this directory, None if there is none."""
        where = projects.c.directory == directory
        row = await self._first(self._of_tenant(ALL_PROJECTS, projects).where(where))
        return None if row is None else project_from(row)

    async def projects(
        self, within: str, limit: int = 20, after: str | None = None
    ) -> tuple[list[Project], bool]:
        """At most `limit` projects at or below the directory `within`, newest first.

        The page starts after the project `after`. Also returns whether there are more.
        """
        async with self._reading() as connection:
            statement = projects_page(self.tenant, within, limit + 1, after)
            rows = (await connection.execute(statement)).all()
        return [project_from(row) for row in rows[:limit]], len(rows) > limit

    async def update_project(self, project_id: str, **changes: Any) -> Project | None:
        """Set the fields `changes`; returns the project, None if there is none."""
        row = await self._update(projects, project_id, changes, ALL_PROJECTS)
        return None if row is None else project_from(row)

    async def delete_project(self, project_id: str) -> bool:
        """Delete the project and its sessions; its turns stay, without a project.

        Returns whether there was such a project.
        """
        return await self._delete(projects, project_id)

    # Sessions

    async def put_session(self, record: SessionRecord) -> SessionRecord:
        """Add `record`, unless its id is there already; returns the row with this id.

        Add a session before its turns are written. Only then they are counted.
        """
        statement = self._of_tenant(ALL_SESSIONS, sessions)
        async with self._writing() as connection:
            await self._insert_if_new(connection, sessions, [record])
            where = sessions.c.id == record.id
            found = await connection.execute(statement.where(where))
            return session_from(found.one())

    async def put_sessions(self, records: Sequence[SessionRecord]) -> None:
        """Add those of `records` whose ids are not there yet."""
        if records:
            async with self._writing() as connection:
                await self._insert_if_new(connection, sessions, records)

    async def session(self, session_id: str) -> SessionRecord | None:
        """The session `session_id`, None if there is none."""
        where = sessions.c.id == session_id
        row = await self._first(self._of_tenant(ALL_SESSIONS, sessions).where(where))
        return None if row is None else session_from(row)

    async def sessions(
        self,
        *,
        project_ids: Collection[str] | None = None,
        owner: str | None = None,
        limit: int = 20,
        after: str | None = None,
        ascending: bool = False,
    ) -> tuple[list[SessionRecord], bool]:
        """At most `limit` sessions, the last updated first, or last if `ascending`.

        They are the sessions of the projects `project_ids`, and the sessions of
        `owner` without a project. If both are None, they are all sessions. The page
        starts after the session `after`. Also returns whether there are more.
        """
        statement = sessions_page(
            self.tenant, project_ids, owner, limit + 1, after, ascending
        )
        found: list[SessionRecord] = []
        async with self._reading() as connection:
            result = await connection.execute(statement)
            for rows in result.partitions(ROWS_AT_ONCE):
                found += map(session_from, rows)
                await asyncio.sleep(0)
        return found[:limit], len(found) > limit

    async def update_session(
        self, session_id: str, **changes: Any
    ) -> SessionRecord | None:
        """Set the fields `changes`; returns the session, None if there is none."""
        row = await self._update(sessions, session_id, changes, ALL_SESSIONS)
        return None if row is None else session_from(row)

    async def delete_session(self, session_id: str) -> bool:
        """Delete the session; its turns stay. Returns whether there was one."""
        return await self._delete(sessions, session_id)

    # Turns

    def record(self, turn: TurnRecord) -> None:
        """Queue `turn`: it will be written soon, and added to all sums. Never fails."""
        self._turns.add(turn)
        if not self._connector.closed:
            self._turns.start()

    async def flush(self) -> None:
        """Wait until every turn that was recorded so far is in the database."""
        await self._turns.flush()

    async def _write_turns(self, batch: Batch) -> None:
        async with self._writing() as connection:
            await write_turns(connection, self.tenant, batch)

    # Keys

    async def add_key(self, record: KeyRecord) -> None:
        """Add the key; its id must be a new one."""
        async with self._writing() as connection:
            await connection.execute(insert(keys).values(row_of(self.tenant, record)))

    async def key(self, key_id: str) -> KeyRecord | None:
        """The key `key_id`, None if there is none."""
        where = keys.c.id == key_id
        row = await self._first(self._of_tenant(ALL_KEYS, keys).where(where))
        return None if row is None else key_from(row)

    async def keys(self) -> list[KeyRecord]:
        """All keys, also the revoked ones; the oldest first."""
        statement = self._of_tenant(ALL_KEYS, keys)
        statement = statement.order_by(keys.c.created_at, keys.c.id)
        async with self._reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [key_from(row) for row in rows]

    async def revoke_key(self, key_id: str, at: float) -> bool:
        """Revoke the key; `at` is the time in Unix seconds.

        Returns whether there was such a key, not yet revoked.
        """
        where = (keys.c.id == key_id) & keys.c.revoked_at.is_(None)
        statement = self._of_tenant(update(keys), keys).where(where)
        async with self._writing() as connection:
            return (
                await connection.execute(statement.values(revoked_at=at))
            ).rowcount > 0

    # The database

    def _of_tenant(self, statement: Statement, table: Table) -> Statement:
        return statement.where(of_tenant(table, self.tenant))

    async def _insert_if_new(
        self, connection: AsyncConnection, table: Table, records: Sequence[Struct]
    ) -> None:
        statement = insert_if_new(table, connection.dialect.name)
        rows = [row_of(self.tenant, record) for record in records]
        await connection.execute(statement, rows)

    async def _update(
        self, table: Table, row_id: str, changes: dict[str, Any], query: Select[Any]
    ) -> Sequence[Any] | None:
        where = table.c.id == row_id
        change = self._of_tenant(update(table), table).where(where)
        query = self._of_tenant(query, table).where(where)
        async with self._writing() as connection:
            if changes:
                await connection.execute(change.values(changes))
            row: Sequence[Any] | None = (await connection.execute(query)).first()
            return row

    async def _first(self, statement: Select[Any]) -> Sequence[Any] | None:
        async with self._reading() as connection:
            row: Sequence[Any] | None = (await connection.execute(statement)).first()
            return row

    async def _delete(self, table: Table, row_id: str) -> bool:
        statement = self._of_tenant(delete(table), table).where(table.c.id == row_id)
        async with self._writing() as connection:
            return (await connection.execute(statement)).rowcount > 0

    def _reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._connector.begin(reading=True)

    def _writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._connector.begin(reading=False)

    async def _open_database(self) -> Database:
        url = database_address(self.database_url)
        # In a thread: by default the tenant's name is in a file.
        tenant = await asyncio.to_thread(lambda: self.tenant)
        database = Database(
            url, self.busy_timeout_seconds, self.statement_timeout_seconds
        )
        try:
            await asyncio.to_thread(prepare_file, url)
            await database.migrate(tenant)
        except BaseException:
            await database.retire()
            raise
        return database
