"""Tasks that run beside the code that started them, with one owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

Log = logging.Logger | logging.LoggerAdapter[Any]


class BackgroundTasks:
    """Keeps tasks until they end, and logs the exceptions that nobody awaits.

    Parameters
    ----------
    log:
        Where a failed task is reported, as an error with its traceback.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self, work: Coroutine[Any, Any, None], *, awaited: bool = False
    ) -> asyncio.Task[None]:
        """Run `work` in a task.

        If the task is `awaited`, its exception is for the caller and is not logged.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A caller that is cancelled leaves the exception to be read here.
        task.add_done_callback(_read_failure if awaited else self._log_failure)
        return task

    async def wait_for_current(self) -> None:
        """Wait until the tasks that run now have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def wait(self) -> None:
        """Wait until all tasks have ended, also those that are started meanwhile."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _log_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("in the background: %s", error, exc_info=error)


def _read_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
