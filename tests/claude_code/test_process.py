from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time

import psutil
import pytest

from claude_nb_gateway.claude_code.process import CLIProcess
from claude_nb_gateway.errors import CLIExited, CLINotFound, CLITimeout, ProtocolError

from ..conftest import step

pytestmark = pytest.mark.anyio


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.messages = []
        self.changed = asyncio.Event()
        self.error = None

    def received(self, messages):
        self.messages += messages
        self.changed.set()

    def lost(self, error):
        self.error = error
        self.changed.set()

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def start(log, tmp_path):
    """Start a Python program in the place of the CLI: one that misbehaves."""
    started = []

    async def start(program, **options):
        process = await CLIProcess.start(
            [sys.executable, "-c", program],
            env=dict(os.environ),
            cwd=str(tmp_path),
            log=log,
            **{"grace_seconds": 0.3, **options},
        )
        started.append(process)
        recorder = Recorder()
        process.listen(recorder)
        return process, recorder

    yield start
    for process in started:
        await process.close()


ECHO = "import sys\nfor line in sys.stdin: sys.stdout.write(line); sys.stdout.flush()"


async def test_messages_go_in_and_out(start):
    process, recorder = await start(ECHO)
    await process.send({"type": "result", "result": "x" * 1_000_000})
    await recorder.until(lambda r: r.messages)
    assert len(recorder.messages[0].result) == 1_000_000


async def test_process_that_does_not_read_is_given_up_in_time(start):
    program = "import time; time.sleep(600)"
    process, recorder = await start(program, input_timeout_seconds=0.3)
    async with asyncio.timeout(10):
        with pytest.raises(CLITimeout, match="reading its input"):
            await process.send({"type": "result", "result": "x" * 2**20})
    assert isinstance(recorder.error, CLITimeout)
    assert not process.alive
    await process.close()
    assert process.returncode is not None


async def test_line_over_the_limit_breaks_it(start):
    process, recorder = await start(ECHO, line_limit_bytes=1000)
    await process.send({"type": "result", "result": "x" * 2000})
    await recorder.until(lambda r: r.error)
    assert isinstance(recorder.error, ProtocolError)
    assert not process.alive


async def test_stderr_is_drained_and_its_end_kept(start):
    program = (
        "import sys; sys.stderr.write('x' * 1_000_000 + 'the reason'); sys.exit(3)"
    )
    _, recorder = await start(program)
    await recorder.until(lambda r: r.error)
    assert isinstance(recorder.error, CLIExited)
    assert recorder.error.returncode == 3
    assert recorder.error.stderr.endswith("the reason")
    assert "the reason" not in recorder.error.message


async def test_sending_to_an_ended_process_is_an_error(start):
    process, recorder = await start("pass")
    await recorder.until(lambda r: r.error)
    with pytest.raises(CLIExited):
        await process.send({})


async def test_close_ends_one_that_ignores_everything_and_its_children(start):
    process, recorder = await start(
        "import signal, subprocess, sys, time\n"
        "for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(99)']\n"
        "subprocess.Popen(child, start_new_session=True)\n"
        'print(\'{"type": "result"}\', flush=True)\n'
        "time.sleep(99)"
    )
    await recorder.until(lambda r: r.messages)
    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    assert len(family) == 2
    began = time.monotonic()
    await process.close()
    assert time.monotonic() - began < 3
    assert process.returncode == -signal.SIGKILL
    assert not [p for p in family if p.is_running() and p.status() != "zombie"]


async def test_close_goes_on_when_its_caller_is_cancelled(start):
    process, _ = await start("import time; time.sleep(99)")
    closing = asyncio.create_task(process.close())
    await step()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await process.close()
    assert process.returncode is not None


async def test_start_that_is_cancelled_ends_the_process_quietly(log, tmp_path):
    before = psutil.Process().children()
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    for steps in range(12):
        starting = asyncio.create_task(
            CLIProcess.start(
                [sys.executable, "-c", "import time; time.sleep(99)"],
                env=dict(os.environ),
                cwd=str(tmp_path),
                log=log,
                grace_seconds=0.2,
            )
        )
        for _ in range(steps):
            await step()
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await starting).close()
    started = [p for p in psutil.Process().children() if p not in before]
    _, left = await asyncio.to_thread(psutil.wait_procs, started, 5)
    gc.collect()  # a task that nobody awaits complains when it goes
    await step()
    assert complaints == []
    assert left == []


async def test_missing_directory_is_named_in_the_log_only(log):
    with pytest.raises(CLINotFound) as error:
        await CLIProcess.start(["/bin/true"], env={}, cwd="/no/such/place", log=log)
    assert "/no/such" in error.value.detail
    assert "/no/such" not in error.value.message
