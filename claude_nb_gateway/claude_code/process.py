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
from .exec_wrapper import WRONG_PLACE

STDIN, STDOUT, STDERR = 0, 1, 2
STDERR_KEPT_BYTES = 8_192
LAUNCHER = str(Path(__file__).with_name("exec_wrapper.py"))


class Listener(Protocol):
    """What takes a process's messages; called on the event loop, never blocks."""

    def received(self, messages: list[protocol.Message]) -> None:
        """Some messages came, in order."""

    def lost(self, error: GatewayError) -> None:
        """No more will come."""


class _Pipes(asyncio.SubprocessProtocol):
    """Hands what the pipes deliver to its process."""

    def __init__(self, process: CLIProcess) -> None:
        self.process = process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not left to the caller of subprocess_exec: cancelled, it never gets it.
        self.process._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == STDOUT:
            self.process._stdout_received(data)
        else:
            self.process._stderr_received(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == STDIN:
            self.process._writable.set()

    def process_exited(self) -> None:
        self.process._process_exited()

    def connection_lost(self, exc: Exception | None) -> None:
        self.process._pipes_lost()

    # Flow control of stdin: asyncio's transport calls these on its protocol.
    def pause_writing(self) -> None:
        self.process._writable.clear()

    def resume_writing(self) -> None:
        self.process._writable.set()


class CLIProcess:
    """A running CLI: typed messages in and out, its end, its standard error.

    Made by `start`; whoever started it must `close` it.

    Parameters
    ----------
    line_limit_bytes:
        A longer line on stdout ends the process's usefulness with an error.
    grace_seconds:
        How long each of the gentler ways to end it is given; see `close`.
    input_timeout_seconds:
        A process that takes longer to read what it is sent is given up.
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
        self._framer = protocol.LineFramer(line_limit_bytes)
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
        place: str = "-",
        guarded: bool = False,
    ) -> CLIProcess:
        """Start `command`, whose first word is an absolute path, in `cwd`.

        What is `place` and `guarded` says `exec_wrapper`.

        Raises
        ------
        CLINotFound
            `cwd` is gone or nothing can be started.
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
        launcher = (sys.executable, "-I", "-S", LAUNCHER, str(os.getpid()), place, kind)
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: _Pipes(process), *launcher, *command, env=dict(env), cwd=cwd
            )
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            if place != "-" and missing:
                raise ProjectNotFound.gone(Path(cwd).name) from error
            raise CLINotFound(
                "The Claude Code CLI could not be started on the server.",
                detail=str(error),
            ) from error
        process.pid = transport.get_pid()
        return process

    @property
    def alive(self) -> bool:
        """Whether it can still be spoken to."""
        return self.returncode is None and self._broken is None

    @property
    def stderr(self) -> str:
        """The last of what it wrote to standard error."""
        return self._stderr.decode(errors="replace").strip()

    def listen(self, listener: Listener) -> None:
        """Deliver messages to `listener` from now on."""
        self._listener = listener
        if self._broken is not None:
            listener.lost(self._broken)

    async def send(self, message: dict[str, Any]) -> None:
        """Write one message; waits while the CLI is slow to read.

        Raises
        ------
        CLIExited
            The process has ended.
        CLITimeout
            It does not read, and is given up.
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
        """Let the pipe fill up: the listener has enough."""
        self._pipe(STDOUT).pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        self._pipe(STDOUT).resume_reading()

    async def close(self) -> None:
        """End it and every descendant, at last by force, and wait for that.

        Standard input is closed, then SIGTERM sent, then SIGKILL, each after
        `grace_seconds`. May be called again and from several tasks; goes on in
        the background if the caller is cancelled.
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

    async def _ended_by(self, push: Callable[[], None]) -> bool:
        if self.returncode is None:
            push()
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
        del self._stderr[:-STDERR_KEPT_BYTES]

    def _process_exited(self) -> None:
        assert self._transport is not None
        self.returncode = self._transport.get_returncode()
        self._writable.set()
        self._exited.set()
        # A grandchild that holds a pipe open would put off connection_lost.
        asyncio.get_running_loop().call_later(self._grace, self._pipes_lost)

    def _pipes_lost(self) -> None:
        # Comes after process_exited and after the last byte of every pipe.
        if self.returncode == WRONG_PLACE:
            self._break(ProjectNotFound.gone(self._directory_name))
        else:
            self._break(CLIExited(self.returncode, self.stderr))

    def _break(self, error: GatewayError) -> None:
        if self._broken is None:
            self._broken = error
            self._writable.set()
            if self._listener is not None:
                self._listener.lost(error)


def end_all(processes: Sequence[psutil.Process], grace_seconds: float) -> None:
    """SIGTERM those of `processes` that still run, then SIGKILL; blocks.

    A reused process id is safe: psutil compares the start time before it signals.
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
    # Not psutil.wait_procs: to that, a zombie whose parent is slow to notice is
    # still there.
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
