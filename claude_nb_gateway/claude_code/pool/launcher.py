"""Starts CLI processes, and keeps the record of those that run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from jupyter_core.paths import jupyter_runtime_dir

from .. import command, locations
from ..guard import Guarded
from ..process import CLIProcess
from ..profile import Launch
from ..tasks import Log
from .ledger import Ledger


class LaunchSettings(Protocol):
    """What processes are started with: see the traits of `CLIManager`."""

    @property
    def log(self) -> Any:
        """The server's log."""

    @property
    def cli_env(self) -> dict[str, str]:
        """Variables for the CLI."""

    @property
    def private_paths(self) -> list[str]:
        """What Claude's file tools may not read or write."""

    @property
    def line_limit_bytes(self) -> int:
        """Maximum length of a line of the CLI."""

    @property
    def close_grace_seconds(self) -> float:
        """Time for each of the gentler ways to end a process."""

    @property
    def control_timeout_seconds(self) -> float:
        """Maximum time for the CLI to read its input."""

    def find_cli(self) -> str:
        """The absolute path of the CLI; raises CLINotFound."""

    def environment(self, launch: Launch) -> dict[str, str]:
        """The environment of a process."""


class Launcher:
    """Starts processes in a private directory, which `clean_up` removes."""

    def __init__(self, settings: LaunchSettings) -> None:
        self.directory = ""
        self._settings = settings
        self._log: Log = settings.log
        self._ledger: Ledger | None = None
        self._recording = asyncio.Lock()

    async def start(self, launch: Launch) -> CLIProcess:
        """A new process; raises CLINotFound or ProjectNotFound."""
        if not self.directory:
            self.directory = tempfile.mkdtemp(prefix="claude-gateway-")
            self._ledger = Ledger(Path(jupyter_runtime_dir()), self.directory)
        settings, profile = self._settings, launch.profile
        guarded = await self._guarded() if profile.directory else None
        return await CLIProcess.start(
            command.command_for(settings.find_cli(), launch, guarded),
            env=settings.environment(launch),
            cwd=profile.directory or await self._chat_directory(launch),
            line_limit_bytes=settings.line_limit_bytes,
            grace_seconds=settings.close_grace_seconds,
            input_timeout_seconds=settings.control_timeout_seconds,
            log=settings.log,
            directory_id=profile.directory_id,
            guarded=bool(profile.directory),
        )

    async def record(self, pids: Callable[[], list[int]]) -> None:
        """Write down which processes run, for the server that comes after a crash.

        `pids` is called when it is this record's turn to be written.
        """
        async with self._recording:
            if self._ledger is None:
                return
            try:
                await asyncio.to_thread(self._ledger.write, pids())
            except OSError as error:
                self._ledger = None  # one warning is enough
                self._log.warning(
                    "Jupyter's runtime directory cannot be written (%s). If this "
                    "server is killed, nothing ends the processes that it leaves.",
                    error,
                )

    def clean_up(self) -> None:
        """Remove the record and the private directory; blocks."""
        if self._ledger is not None:
            with contextlib.suppress(OSError):
                self._ledger.remove()
            self._ledger = None
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    async def _guarded(self) -> Guarded:
        environment = {**os.environ, **self._settings.cli_env}
        return await asyncio.to_thread(
            locations.guarded, environment, self._settings.private_paths
        )

    async def _chat_directory(self, launch: Launch) -> str:
        if not launch.session_id:
            return self.directory
        return await asyncio.to_thread(locations.sessions_directory)
