"""Opens the database when it is needed, and again after a failure."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreUnavailable
from .database_errors import (
    CLOSED,
    DATABASE_ERRORS,
    LOCKED,
    REFUSED,
    TRANSIENT,
    store_unavailable,
)
from .engine import Database

#: Time between two attempts to open a database that another server is creating.
REOPEN_SECONDS = 0.05


class Connector:
    """Gives transactions on the database, which it opens for the first of them.

    Every error of the database becomes a StoreUnavailable. After an error that will
    last, no transaction is tried for `retry_seconds`.

    Parameters
    ----------
    open_database:
        Opens the database, and brings its schema up to date.
    busy_timeout_seconds:
        Maximum time to wait while another server is creating the database.
    retry_seconds:
        Time after a failure before the database is opened again.
    """

    def __init__(
        self,
        open_database: Callable[[], Awaitable[Database]],
        *,
        busy_timeout_seconds: float,
        retry_seconds: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        #: What is wrong with the database, for clients; empty if nothing is.
        self.problem = ""
        #: Whether it is closed: then every transaction fails.
        self.closed = False
        self._open_database = open_database
        self._busy_timeout_seconds = busy_timeout_seconds
        self._retry_seconds = retry_seconds
        self._log = log
        self._failure: StoreUnavailable | None = None
        self._retry_at = 0.0
        self._database: Database | None = None
        self._connecting = asyncio.Lock()

    async def connect(self) -> Database:
        """The open database; raises StoreUnavailable."""
        async with self._connecting:
            if self.closed:
                raise StoreUnavailable(CLOSED)
            if self._database is None:
                if self._failure is not None and time.monotonic() < self._retry_at:
                    raise StoreUnavailable(
                        self._failure.message, detail=self._failure.detail
                    )
                self._database = await self._connect()
                self._succeeded()
            return self._database

    @asynccontextmanager
    async def begin(self, *, reading: bool) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end; raises StoreUnavailable."""
        database = await self.connect()
        try:
            async with database.begin(reading=reading) as connection:
                yield connection
        except DATABASE_ERRORS as error:
            failure = store_unavailable(error)
            if failure.message != REFUSED:
                await self._failed(failure, database)
            raise failure from error
        self._succeeded()

    def retry_now(self) -> None:
        """Let the next transaction try to open the database, in any case."""
        self._retry_at = 0.0

    async def close(self) -> None:
        """Disconnect as soon as no transaction runs."""
        self.closed = True
        if self._database is not None:
            await self._database.retire()
            self._database = None

    async def _connect(self) -> Database:
        deadline = time.monotonic() + self._busy_timeout_seconds
        while True:
            try:
                return await self._open_database()
            except (*DATABASE_ERRORS, StoreUnavailable) as error:
                failure = store_unavailable(error)
                # When several servers start at once, SQLite does not let all of them
                # wait for the lock: some fail at once.
                if failure.message != LOCKED or time.monotonic() >= deadline:
                    await self._failed(failure, None)
                    raise failure from error
            await asyncio.sleep(REOPEN_SECONDS)

    async def _failed(
        self, failure: StoreUnavailable, database: Database | None
    ) -> None:
        if self.problem != failure.message:
            self._log.error("%s (%s)", failure.message, failure.detail)
        self.problem = failure.message
        if failure.message in TRANSIENT and database is not None:
            return
        self._failure = failure
        self._retry_at = time.monotonic() + self._retry_seconds
        if database is not None and database is self._database:
            self._database = None
            await database.retire()

    def _succeeded(self) -> None:
        if self.problem:
            self._log.info("The gateway's database works again.")
        self.problem = ""
        self._failure = None
