"""The database of projects, sessions, turns and keys."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

from msgspec import Struct
from sqlalchemy import Delete, Select, Table, Update, delete, insert, select, update
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection
from traitlets import Float, Integer, Unicode, default
from traitlets.config import LoggingConfigurable

from ..errors import StoreUnavailable
from .engine import Database, database_address, files_of, prepare_file
from .failures import CLOSED, LOCKED, NO_TENANT, PASSING, REFUSED, TROUBLE, unavailable
from .queries import (
    ALL_KEYS,
    ALL_PROJECTS,
    ALL_SESSIONS,
    INSERT_TURN,
    adding,
    insert_if_new,
    of_tenant,
    projects_page,
    sessions_page,
    sums,
)
from .records import KeyRecord, Project, SessionRecord, TurnRecord
from .rows import key_from, project_from, row_of, session_from, turn_row
from .tables import keys, projects, sessions, turns
from .tenants import tenant_for

#: So many rows become records, or turns are written, in one go.
ROWS_AT_ONCE = 500
CLOSE_SECONDS = 5
#: Between two attempts to open a database that another server is just making.
OPEN_AGAIN_SECONDS = 0.05
#: A store that is tried again at once is still not tried without end.
SHORTEST_RETRY_SECONDS = 1

Statement = TypeVar("Statement", Select[Any], Update, Delete)

_ADDING = (
    (adding(sessions, "updated_at"), "session_id", True),
    (adding(projects, "last_used_at"), "project_id", False),
    (adding(keys, "last_used_at"), "key_id", False),
)


class Store(LoggingConfigurable):
    """Keeps what outlives the server.

    Every asynchronous method but `open` and `close` raises `StoreUnavailable` when
    the database does not do its part; the next one tries anew.
    """

    database_url = Unicode(
        "",
        config=True,
        help="""Where projects, sessions, turns and keys are kept, as an SQLAlchemy
        URL: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME. By default the
        file claude_nb_gateway/gateway.db in Jupyter's data directory.""",
    )
    busy_timeout_seconds = Float(
        5.0,
        min=0,
        config=True,
        help="""So long another writer, a locked table, or the database server, is
        waited for.""",
    )
    statement_timeout_seconds = Float(
        15.0,
        min=0,
        config=True,
        help="""PostgreSQL ends a statement that takes longer; 0 waits for its end. Of
        SQLite's only the wait for another writer is long, which busy_timeout_seconds
        bounds.""",
    )
    tenant = Unicode(
        config=True,
        help="""Whose rows these are, where several servers share a database: each sees
        those of its tenant alone. By default the hub's name of the server; without a
        hub, on PostgreSQL, a name kept in Jupyter's data directory. A file of SQLite's
        that no hub shares has one tenant, the empty name.""",
    )

    @default("tenant")
    def _default_tenant(self) -> str:
        try:
            url = database_address(self.database_url)
            return tenant_for(url, is_own_file=not self.database_url)
        except OSError as error:
            raise StoreUnavailable(NO_TENANT, detail=str(error)) from error
        except TROUBLE as error:
            raise unavailable(error) from error

    retry_seconds = Float(
        30.0,
        min=0,
        config=True,
        help="A database that failed is left alone for so long.",
    )
    max_queued_turns = Integer(
        10_000,
        min=1,
        config=True,
        help="""So many turns wait for the database in memory; of more, the oldest
        are lost.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.problem = ""
        self._failure: StoreUnavailable | None = None
        self._retry_at = 0.0
        self._closed = False
        self._database: Database | None = None
        self._connecting = asyncio.Lock()
        self._queue: deque[tuple[str, TurnRecord]] = deque()
        self._dropped = 0
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    @property
    def files(self) -> list[str]:
        """The files of the database, where it is in files of this machine."""
        with contextlib.suppress(ArgumentError):
            return files_of(database_address(self.database_url))
        return []

    async def open(self) -> None:
        """Connect and bring the schema up to date.

        Trouble is logged and kept in `problem`, in words for clients; empty when
        there is none.
        """
        self._closed = False
        with contextlib.suppress(StoreUnavailable):
            await self._connected()

    async def close(self) -> None:
        """Write what is queued, if that takes no more than seconds, and disconnect."""
        self._retry_at = 0.0  # one more try for the sake of the queue
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.flush()
        self._closed = True
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        if self._queue:
            self.log.error("%d turns were never stored", len(self._queue))
        if self._database is not None:
            await self._database.retire()
            self._database = None

    # Projects

    async def add_project(self, project: Project) -> Project:
        """Add `project`; returns it, or the one with its directory or id."""
        own_id = projects.c.id == project.id
        # One with its id may have another directory by now.
        where = (projects.c.directory == project.directory) | own_id
        statement = self._of_tenant(ALL_PROJECTS, projects).where(where)
        statement = statement.order_by(own_id)
        async with self._writing_to() as connection:
            await self._insert_if_new(connection, projects, [project])
            return project_from((await connection.execute(statement)).all()[0])

    async def project(self, project_id: str) -> Project | None:
        """The project `project_id`."""
        where = projects.c.id == project_id
        row = await self._first(self._of_tenant(ALL_PROJECTS, projects).where(where))
        return None if row is None else project_from(row)

    async def project_at(self, directory: str) -> Project | None:
        """The project whose directory is exactly `directory`."""
        where = projects.c.directory == directory
        row = await self._first(self._of_tenant(ALL_PROJECTS, projects).where(where))
        return None if row is None else project_from(row)

    async def projects(
        self, within: str, limit: int = 20, after: str | None = None
    ) -> tuple[list[Project], bool]:
        """At most `limit` projects at or below the directory `within`, newest first.

        They come after the project `after`. Also returns whether there are more.
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
        """Forget the project and its sessions; its turns stay, those of no project.

        Returns whether there was one.
        """
        return await self._delete(projects, project_id)

    # Sessions

    async def put_session(self, record: SessionRecord) -> SessionRecord:
        """Add `record`; returns it, or the session that has its id already.

        A session has to be there before its turns are written, to count them.
        """
        statement = self._of_tenant(ALL_SESSIONS, sessions)
        async with self._writing_to() as connection:
            await self._insert_if_new(connection, sessions, [record])
            where = sessions.c.id == record.id
            found = await connection.execute(statement.where(where))
            return session_from(found.one())

    async def put_sessions(self, records: Sequence[SessionRecord]) -> None:
        """Add those of `records` that are not there yet."""
        if records:
            async with self._writing_to() as connection:
                await self._insert_if_new(connection, sessions, records)

    async def session(self, session_id: str) -> SessionRecord | None:
        """The session `session_id`."""
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

        They are those of the projects `project_ids` and those of `owner` that have
        no project; all if both are None. They come after the session `after`. Also
        returns whether there are more.
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
        """Forget the session; its turns stay. Returns whether there was one."""
        return await self._delete(sessions, session_id)

    # Turns

    def record(self, turn: TurnRecord) -> None:
        """Have `turn` written soon, and added to what is counted; never fails."""
        if len(self._queue) >= self.max_queued_turns:
            self._queue.popleft()
            if not self._dropped:
                self.log.warning("too many turns wait for the database: losing some")
            self._dropped += 1
        # By its id a turn that was written is known, should that be tried twice.
        self._queue.append((uuid4().hex, turn))
        if self._closed:
            return
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())

    async def flush(self) -> None:
        """Wait until every turn recorded so far is in the database."""
        await self._write_batch()  # also waits for the one that is being written
        while self._queue:
            await self._write_batch()

    async def _write_all(self) -> None:
        while self._queue:
            try:
                await self._write_batch()
            except StoreUnavailable:
                await asyncio.sleep(max(self.retry_seconds, SHORTEST_RETRY_SECONDS))

    async def _write_batch(self) -> None:
        async with self._writing:
            number = min(len(self._queue), ROWS_AT_ONCE)
            batch = [self._queue.popleft() for _ in range(number)]
            try:
                await self._write_or_drop(batch)
            except BaseException:
                self._queue.extendleft(reversed(batch))
                raise
            if self._dropped:
                self.log.warning("%d turns were lost", self._dropped)
                self._dropped = 0

    async def _write_or_drop(self, batch: Sequence[tuple[str, TurnRecord]]) -> None:
        try:
            await self._write(batch)
        except StoreUnavailable as failure:
            if failure.message != REFUSED:
                raise
            if len(batch) == 1:
                self.log.error("dropped a turn: %s", failure.detail)
                return
            for each in batch:
                await self._write_or_drop([each])

    async def _write(self, batch: Sequence[tuple[str, TurnRecord]]) -> None:
        if not batch:
            return
        ids = [turn_id for turn_id, _ in batch]
        async with self._writing_to() as connection:
            query = select(turns.c.id).where(turns.c.id.in_(ids))
            written = set((await connection.scalars(query)).all())
            new = [entry for entry in batch if entry[0] not in written]
            if new:
                rows = [turn_row(self.tenant, *entry) for entry in new]
                await connection.execute(INSERT_TURN, rows)
                await self._add_up(connection, [turn for _, turn in new])

    async def _add_up(
        self, connection: AsyncConnection, new: Sequence[TurnRecord]
    ) -> None:
        for statement, field, ended in _ADDING:
            if added := sums(self.tenant, new, field, ended=ended):
                await connection.execute(statement, added)

    # Keys

    async def add_key(self, record: KeyRecord) -> None:
        """Add the key; its id must be a new one."""
        async with self._writing_to() as connection:
            await connection.execute(insert(keys).values(row_of(self.tenant, record)))

    async def key(self, key_id: str) -> KeyRecord | None:
        """The key `key_id`."""
        where = keys.c.id == key_id
        row = await self._first(self._of_tenant(ALL_KEYS, keys).where(where))
        return None if row is None else key_from(row)

    async def keys(self) -> list[KeyRecord]:
        """All keys, the oldest first, revoked ones among them."""
        statement = self._of_tenant(ALL_KEYS, keys)
        statement = statement.order_by(keys.c.created_at, keys.c.id)
        async with self._reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [key_from(row) for row in rows]

    async def revoke_key(self, key_id: str, at: float) -> bool:
        """Let the key be good for nothing any more; `at` is in Unix seconds.

        Returns whether there was one that was not revoked yet.
        """
        where = (keys.c.id == key_id) & keys.c.revoked_at.is_(None)
        statement = self._of_tenant(update(keys), keys).where(where)
        async with self._writing_to() as connection:
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
        async with self._writing_to() as connection:
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
        async with self._writing_to() as connection:
            return (await connection.execute(statement)).rowcount > 0

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._begin(reading=True) as connection:
            yield connection

    @asynccontextmanager
    async def _writing_to(self) -> AsyncIterator[AsyncConnection]:
        async with self._begin(reading=False) as connection:
            yield connection

    @asynccontextmanager
    async def _begin(self, *, reading: bool) -> AsyncIterator[AsyncConnection]:
        database = await self._connected()
        try:
            async with database.begin(reading=reading) as connection:
                yield connection
        except TROUBLE as error:
            failure = unavailable(error)
            if failure.message != REFUSED:
                await self._failed(failure, database)
            raise failure from error
        self._works()

    async def _connected(self) -> Database:
        async with self._connecting:
            if self._closed:
                raise StoreUnavailable(CLOSED)
            if self._database is None:
                if self._failure is not None and time.monotonic() < self._retry_at:
                    raise StoreUnavailable(
                        self._failure.message, detail=self._failure.detail
                    )
                self._database = await self._connect()
                self._works()
            return self._database

    async def _connect(self) -> Database:
        deadline = time.monotonic() + self.busy_timeout_seconds
        while True:
            try:
                return await self._opened()
            except (*TROUBLE, StoreUnavailable) as error:
                failure = _failure(error)
                # Of servers that start at once SQLite lets some fail without a wait.
                if failure.message != LOCKED or time.monotonic() >= deadline:
                    await self._failed(failure, None)
                    raise failure from error
            await asyncio.sleep(OPEN_AGAIN_SECONDS)

    async def _opened(self) -> Database:
        url = database_address(self.database_url)
        # By default the tenant's name is in a file.
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

    async def _failed(
        self, failure: StoreUnavailable, database: Database | None
    ) -> None:
        if self.problem != failure.message:
            self.log.error("%s (%s)", failure.message, failure.detail)
        self.problem = failure.message
        if failure.message in PASSING and database is not None:
            return
        self._failure = failure
        self._retry_at = time.monotonic() + self.retry_seconds
        if database is not None and database is self._database:
            self._database = None
            await database.retire()

    def _works(self) -> None:
        if self.problem:
            self.log.info("The gateway's database works again.")
        self.problem = ""
        self._failure = None


def _failure(error: Exception) -> StoreUnavailable:
    return error if isinstance(error, StoreUnavailable) else unavailable(error)
