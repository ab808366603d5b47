"""One Claude Code CLI process and its pipes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import psutil

from ..errors import (
    CLIExited,
    CLINotFound,
    CLITimeout,
    GatewayError,
    ProjectNotFound,
    ProtocolError,
)
from . import protocol
from .exec_wrapper import WRONG_DIRECTORY
from .lines import LineFramer

STDIN, STDOUT, STDERR = 0, 1, 2
#: Maximum length of the standard error that is kept.
MAX_STDERR_BYTES = 8_192
EXEC_WRAPPER = str(Path(__file__).with_name("exec_wrapper.py"))


class Listener(Protocol):
    """Receives the messages of a process on the event loop; must not block."""

    def received(self, messages: list[protocol.Message]) -> None:
        """Take the next messages, in order."""

    def lost(self, error: GatewayError) -> None:
        """Take the `error` after which no more messages come."""


class _Pipes(asyncio.SubprocessProtocol):
    """Passes the events of the pipes on to a process."""

    def __init__(self, process: CLIProcess) -> None:
        self.process = process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport: the process has been started."""
        # The caller of subprocess_exec does not get it if it is cancelled.
        self.process._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Pass on what the process wrote to stdout or stderr."""
        if fd == STDOUT:
            self.process._stdout_received(data)
        else:
            self.process._stderr_received(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Wake up a `send` that waits, if stdin was closed."""
        if fd == STDIN:
            self.process._writable.set()

    def process_exited(self) -> None:
        """Store the exit status; the pipes may still contain data."""
        self.process._process_exited()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end: the process has exited and all pipes are closed."""
        self.process._pipes_lost()

    def pause_writing(self) -> None:
        """Make `send` wait: the buffer of stdin is full."""
        self.process._writable.clear()

    def resume_writing(self) -> None:
        """Let `send` continue: the buffer of stdin has space again."""
        self.process._writable.set()


class CLIProcess:
    """A running CLI process: sends and receives typed messages.

    Create it with `start`, and call `close` at the end.

    Parameters
    ----------
    line_limit_bytes:
        Maximum length of a line on stdout. After a longer line the process is unusable.
    grace_seconds:
        Time for the process to end before `close` takes its next step.
    input_timeout_seconds:
        Time for the process to read a message. After it the process is unusable.
    """

    def __init__(
        self,
        *,
        line_limit_bytes: int,
        grace_seconds: float,
        input_timeout_seconds: float,
        log: logging.Logger,
    ) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.log = log
        self._directory_name = ""
        self._grace = grace_seconds
        self._input_timeout = input_timeout_seconds
        self._framer = LineFramer(line_limit_bytes)
        self._listener: Listener | None = None
        self._stderr = bytearray()
        self._transport: asyncio.SubprocessTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._exited = asyncio.Event()
        self._broken: GatewayError | None = None
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        line_limit_bytes: int = 64 * 2**20,
        grace_seconds: float = 2.0,
        input_timeout_seconds: float = 30.0,
        log: logging.Logger,
        directory_id: str = "-",
        guarded: bool = False,
    ) -> CLIProcess:
        """Start `command`, whose first word is an absolute path, in `cwd`.

        See `exec_wrapper` for `directory_id` and `guarded`.

        Raises
        ------
        ProjectNotFound
            There is a `directory_id`, but `cwd` is gone.
        CLINotFound
            The process cannot be started.
        """
        process = cls(
            line_limit_bytes=line_limit_bytes,
            grace_seconds=grace_seconds,
            input_timeout_seconds=input_timeout_seconds,
            log=log,
        )
        process._directory_name = Path(cwd).name
        loop = asyncio.get_running_loop()
        kind = "guarded" if guarded else "alone"
        wrapper = (sys.executable, "-I", "-S", EXEC_WRAPPER)
        words = (*wrapper, str(os.getpid()), directory_id, kind, *command)
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: _Pipes(process), *words, env=dict(env), cwd=cwd
            )
        except OSError as error:
            raise _start_error(error, cwd, in_project=directory_id != "-") from error
        process.pid = transport.get_pid()
        return process

    @property
    def alive(self) -> bool:
        """Whether the process still runs and is usable."""
        return self.returncode is None and self._broken is None

    @property
    def stderr(self) -> str:
        """The end of what the process wrote to standard error."""
        return self._stderr.decode(errors="replace").strip()

    def listen(self, listener: Listener) -> None:
        """Deliver messages to `listener` from now on."""
        self._listener = listener
        if self._broken is not None:
            listener.lost(self._broken)

    async def send(self, message: dict[str, Any]) -> None:
        """Write one message; wait while the CLI does not read.

        Raises
        ------
        CLIExited
            The process has ended.
        CLITimeout
            The process did not read in time; it is unusable now.
        """
        if not self.alive or self._closing is not None:
            raise self._broken or CLIExited(self.returncode, self.stderr)
        self._pipe(STDIN).write(protocol.encode(message))
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(self._input_timeout):
                await self._writable.wait()
        except TimeoutError:
            error = CLITimeout("sign of reading its input", self._input_timeout)
            self._break(error)
            raise error from None

    def pause_reading(self) -> None:
        """Stop reading stdout, so that the pipe blocks a process that writes more."""
        self._pipe(STDOUT).pause_reading()

    def resume_reading(self) -> None:
        """Continue to read after `pause_reading`."""
        self._pipe(STDOUT).resume_reading()

    async def close(self) -> None:
        """End the process and all its descendants, by force if necessary.

        The steps are: close standard input, send SIGTERM, send SIGKILL. The next step
        follows if the process still runs after `grace_seconds`. May be called several
        times and from several tasks. Continues in the background if the caller is
        cancelled.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        descendants = await asyncio.to_thread(self._descendants)
        with contextlib.suppress(ProcessLookupError):
            if not await self._ended_by(self._pipe(STDIN).close):
                assert self._transport is not None
                if not await self._ended_by(self._transport.terminate):
                    self.log.warning("Claude CLI %s had to be killed", self.pid)
                    await self._ended_by(self._transport.kill)
        if descendants:
            await asyncio.to_thread(end_all, descendants, self._grace)
        if self._transport is not None:
            self._transport.close()

    async def _ended_by(self, step: Callable[[], None]) -> bool:
        if self.returncode is None:
            step()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), self._grace)
        return self.returncode is not None

    def _descendants(self) -> list[psutil.Process]:
        if self.returncode is not None:
            return []
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def _pipe(self, fd: int) -> Any:
        assert self._transport is not None
        return self._transport.get_pipe_transport(fd)

    def _stdout_received(self, data: bytes) -> None:
        if self._broken is not None:
            return
        try:
            messages = [protocol.decode(line) for line in self._framer.feed(data)]
        except ProtocolError as error:
            self._break(error)
            return
        for message in messages:
            if isinstance(message, protocol.Unknown):
                self.log.debug("unknown message: %.300s", message.raw)
        if messages and self._listener is not None:
            self._listener.received(messages)

    def _stderr_received(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-MAX_STDERR_BYTES]

    def _process_exited(self) -> None:
        assert self._transport is not None
        self.returncode = self._transport.get_returncode()
        self._writable.set()
        self._exited.set()
        # A grandchild that keeps a pipe open would delay connection_lost.
        asyncio.get_running_loop().call_later(self._grace, self._pipes_lost)

    def _pipes_lost(self) -> None:
        # connection_lost comes after process_exited and the last byte of every pipe.
        if self.returncode == WRONG_DIRECTORY:
            self._break(ProjectNotFound.gone(self._directory_name))
        else:
            self._break(CLIExited(self.returncode, self.stderr))

    def _break(self, error: GatewayError) -> None:
        if self._broken is None:
            self._broken = error
            self._writable.set()
            if self._listener is not None:
                self._listener.lost(error)


def _start_error(error: OSError, cwd: str, *, in_project: bool) -> GatewayError:
    if in_project and isinstance(error, FileNotFoundError | NotADirectoryError):
        return ProjectNotFound.gone(Path(cwd).name)
    return CLINotFound(
        "The Claude Code CLI could not be started on the server.", detail=str(error)
    )


def end_all(processes: Sequence[psutil.Process], grace_seconds: float) -> None:
    """Send SIGTERM to `processes`, then SIGKILL to those that still run; blocks.

    A reused process id is safe: psutil compares the start time before it sends a
    signal.
    """
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in _left_after(grace_seconds, processes):
        with contextlib.suppress(psutil.Error):
            process.kill()
    _left_after(grace_seconds, processes)


def _left_after(
    seconds: float, processes: Sequence[psutil.Process]
) -> list[psutil.Process]:
    # psutil.wait_procs also waits for zombies until their parent reaps them.
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _runs(process)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return left


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
