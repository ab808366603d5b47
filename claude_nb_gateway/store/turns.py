"""Turns on their way into the database: a queue, and the statements that write it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreUnavailable
from .database_errors import REFUSED
from .queries import INSERT_TURN, adding, sums
from .records import TurnRecord
from .rows import turn_row
from .tables import keys, projects, sessions, turns

#: Maximum number of turns in one transaction.
BATCH_SIZE = 500
#: Minimum time between two attempts to write, even if `Store.retry_seconds` is less.
MIN_RETRY_SECONDS = 1

#: Turns with their ids, which tell a turn that was written before.
Batch = Sequence[tuple[str, TurnRecord]]

_ADDING = (
    (adding(sessions, "updated_at"), "session_id", True),
    (adding(projects, "last_used_at"), "project_id", False),
    (adding(keys, "last_used_at"), "key_id", False),
)


class TurnQueue:
    """Writes turns in the background, and again later if that fails.

    Parameters
    ----------
    write:
        Writes a batch of turns, or raises StoreUnavailable.
    max_turns:
        Maximum number of turns that wait. If there are more, the oldest are lost.
    retry_seconds:
        Time between two attempts to write.
    """

    def __init__(
        self,
        write: Callable[[Batch], Awaitable[None]],
        *,
        max_turns: int,
        retry_seconds: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._write = write
        self._max_turns = max_turns
        self._retry_seconds = max(retry_seconds, MIN_RETRY_SECONDS)
        self._log = log
        self._queue: deque[tuple[str, TurnRecord]] = deque()
        self._lost = 0
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, turn: TurnRecord) -> None:
        """Put `turn` at the end of the queue."""
        if len(self._queue) >= self._max_turns:
            self._queue.popleft()
            if not self._lost:
                self._log.warning("too many turns wait for the database: losing some")
            self._lost += 1
        self._queue.append((uuid4().hex, turn))

    def start(self) -> None:
        """Write what is queued, in the background."""
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())

    async def flush(self) -> None:
        """Wait until all turns that are queued now are written.

        Raises
        ------
        StoreUnavailable
            The database fails; the turns stay in the queue.
        """
        await self._write_batch()  # also waits for the batch that is being written
        while self._queue:
            await self._write_batch()

    async def stop(self) -> None:
        """Stop writing in the background; what is queued is lost."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        if self._queue:
            self._log.error("%d turns were never stored", len(self._queue))

    async def _write_all(self) -> None:
        while self._queue:
            try:
                await self._write_batch()
            except StoreUnavailable:
                await asyncio.sleep(self._retry_seconds)

    async def _write_batch(self) -> None:
        async with self._writing:
            number = min(len(self._queue), BATCH_SIZE)
            batch = [self._queue.popleft() for _ in range(number)]
            try:
                await self._write_or_drop(batch)
            except BaseException:
                self._queue.extendleft(reversed(batch))
                raise
            if self._lost:
                self._log.warning("%d turns were lost", self._lost)
                self._lost = 0

    async def _write_or_drop(self, batch: Batch) -> None:
        if not batch:
            return
        try:
            await self._write(batch)
        except StoreUnavailable as failure:
            if failure.message != REFUSED:
                raise
            if len(batch) == 1:
                self._log.error("dropped a turn: %s", failure.detail)
                return
            for entry in batch:
                await self._write_or_drop([entry])


async def write_turns(connection: AsyncConnection, tenant: str, batch: Batch) -> None:
    """Write the turns of `batch` that are new, and add them to all sums.

    A turn that was written before is left out. So a batch may be tried again, also
    when the answer to the first attempt was lost.
    """
    ids = [turn_id for turn_id, _ in batch]
    query = select(turns.c.id).where(turns.c.id.in_(ids))
    written = set((await connection.scalars(query)).all())
    new = [entry for entry in batch if entry[0] not in written]
    if not new:
        return
    rows = [turn_row(tenant, *entry) for entry in new]
    await connection.execute(INSERT_TURN, rows)
    for statement, field, ended in _ADDING:
        if added := sums(tenant, [turn for _, turn in new], field, ended=ended):
            await connection.execute(statement, added)
