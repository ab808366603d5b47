from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from claude_nb_gateway.claude_code.pool import launcher
from claude_nb_gateway.claude_code.pool.launcher import Launcher
from claude_nb_gateway.claude_code.profile import PLAIN
from claude_nb_gateway.errors import CLINotFound

pytestmark = pytest.mark.anyio


class SlowLedger:
    """A disk that is slow to write."""

    def __init__(self, directory, private_directory):
        self.written = []
        self.go_on = threading.Event()
        SlowLedger.latest = self

    def write(self, pids):
        assert self.go_on.wait(10)
        self.written.append(pids)

    def remove(self):
        pass


@pytest.fixture
async def started(monkeypatch, log):
    """A launcher that has tried to start something."""

    def find_cli():
        raise CLINotFound("none")

    monkeypatch.setattr(launcher, "Ledger", SlowLedger)
    launching = Launcher(SimpleNamespace(log=log, find_cli=find_cli))
    with pytest.raises(CLINotFound):
        await launching.start(PLAIN)
    yield launching
    launching.clean_up()


async def test_record_is_of_the_processes_at_the_time_it_is_written(started):
    running = {1, 2}
    first, second = (
        asyncio.create_task(started.record(lambda: sorted(running))) for _ in range(2)
    )
    await asyncio.wait([first, second], timeout=0)
    running.add(3)
    SlowLedger.latest.go_on.set()
    await asyncio.gather(first, second)
    assert SlowLedger.latest.written == [[1, 2], [1, 2, 3]]
