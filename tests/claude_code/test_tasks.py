from __future__ import annotations

import asyncio
import contextlib

import pytest

from claude_nb_gateway.claude_code.tasks import BackgroundTasks

from ..conftest import step

pytestmark = pytest.mark.anyio


async def fail():
    raise ValueError("broken")


async def test_waiting_includes_tasks_that_are_started_meanwhile(log):
    tasks, done = BackgroundTasks(log), []

    async def first():
        tasks.start(second())

    async def second():
        done.append("second")

    tasks.start(first())
    await tasks.wait()
    assert done == ["second"]


async def test_failure_is_logged_with_its_traceback(log, caplog):
    tasks = BackgroundTasks(log)
    tasks.start(fail())
    await tasks.wait()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info[0] is ValueError


async def test_failure_of_an_awaited_task_is_its_callers(log, caplog):
    tasks = BackgroundTasks(log)
    with pytest.raises(ValueError, match="broken"):
        await tasks.start(fail(), awaited=True)
    assert not caplog.records


async def test_cancelled_tasks_are_awaited(log, caplog):
    tasks, ended = BackgroundTasks(log), []

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = tasks.start(endless())
    await step()
    await tasks.cancel()
    assert ended == [True]
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not caplog.records
