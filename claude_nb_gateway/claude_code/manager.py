"""The one owner of all CLI processes of a server, and its settings."""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir
from traitlets import Dict, Float, Instance, Integer, List, Unicode, default
from traitlets.config import LoggingConfigurable

from .. import metrics
from . import command, locations, machine
from .lending import Lease, Lender
from .models import ModelCatalog
from .pool.ledger import reap
from .pool.pool import ProcessPool
from .pool.snapshot import Kind, Snapshot
from .pool.warmup import Warmup
from .profile import PLAIN, Launch
from .protocol import RateLimits
from .transcripts import Transcripts
from .turns import Conversation, Setup

PROCESS_BYTES = 200 * 2**20


class CLIManager(LoggingConfigurable):
    """Starts and ends the Claude Code CLI processes, and lends them to turns."""

    cli_path = Unicode(
        "",
        config=True,
        help="""The `claude` executable. If empty: the one of the package
        claude-agent-sdk, else the one on PATH.""",
    )
    cli_env = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="Environment variables for the CLI. They replace those that it inherits.",
    )
    hidden_env = List(
        Unicode(),
        default_value=list(command.SECRETS),
        config=True,
        help="""Shell patterns of the server's environment variables that the CLI does
        not get. The default hides all that are named like a secret, except those by
        which Claude Code reaches its model. The last pattern that matches decides. A
        pattern with an exclamation mark in front shows what others hide:
        "!GITHUB_TOKEN".""",
    )
    private_paths = List(
        Unicode(),
        config=True,
        help="""Files and directories that Claude's file tools can neither read nor
        write in projects. Jupyter's own and Claude Code's own are always private. The
        Bash tool is not restricted.""",
    )
    max_processes = Integer(
        config=True,
        help="""Maximum number of CLI processes at a time, of all kinds. The default
        fills a quarter of the memory with processes of 200 MiB: from 4 to 64, or half
        of the memory if there is no room for 4. A memory limit of the container, or in
        MEM_LIMIT, counts as the memory.""",
    )
    spare_processes = Integer(
        2,
        config=True,
        help="""Number of CLI processes that are started ahead for new conversations,
        after the first one. 0 starts none.""",
    )
    max_spare_processes = Integer(
        4,
        config=True,
        help="""Maximum number of CLI processes that are started ahead, after many
        conversations have begun at about the same time.""",
    )
    spare_idle_timeout_seconds = Float(
        600.0,
        config=True,
        help="Time without a new conversation after which spare processes are ended.",
    )
    session_idle_timeout_seconds = Float(
        600.0,
        config=True,
        help="""Time that a process is kept for its conversation after an answer. The
        next turn then needs no start and no history. 0 keeps none.""",
    )
    tool_result_timeout_seconds = Float(
        600.0,
        config=True,
        help="""Time that a process waits for the results of the client's functions.
        Later results go to another process, as history.""",
    )
    queue_timeout_seconds = Float(
        30.0,
        config=True,
        help="""Maximum time that a request waits for a process while all
        `max_processes` are busy. Then it is refused.""",
    )
    max_queue_length = Integer(
        256,
        min=1,
        config=True,
        help="""Maximum number of requests that wait for a process, and of those that
        wait for the same session. More are refused at once.""",
    )
    control_timeout_seconds = Float(
        30.0,
        config=True,
        help="""Maximum time for the CLI to start, to be set up, or to read what is
        sent to it.""",
    )
    stall_timeout_seconds = Float(
        300.0,
        config=True,
        help="Time without any output after which a turn is given up.",
    )
    turn_timeout_seconds = Float(
        3600.0, config=True, help="Maximum duration of a turn. Then it is given up."
    )
    close_grace_seconds = Float(
        2.0,
        config=True,
        help="""Time for a turn to stop when its process must end, for the process to
        end after its input is closed, and again after SIGTERM. Then comes SIGKILL.""",
    )
    line_limit_bytes = Integer(
        64 * 2**20, config=True, help="Maximum length of a line from the CLI."
    )
    session_wait_seconds = Float(
        60.0,
        config=True,
        help="""Maximum time that a request waits while another request has a turn in
        the same session. Then it is refused with 409. 0 refuses at once.""",
    )
    api_max_retries = Integer(
        0,
        config=True,
        help="""Number of times that the CLI repeats a request to the model's API
        after a failure. Then the client gets the error. OpenAI clients repeat requests
        by themselves.""",
    )
    models = Instance(ModelCatalog)

    @default("models")
    def _default_models(self) -> ModelCatalog:
        return ModelCatalog(parent=self)

    @default("max_processes")
    def _default_max_processes(self) -> int:
        return processes_for(machine.memory_bytes())

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        #: The limits of the account, as the CLI has last said.
        self.rate_limits: RateLimits | None = None
        warmup = Warmup(self.models)
        self._warmup = warmup
        self._pool = ProcessPool(self, warmup)
        self._lender = Lender(self, self._pool, self.models, warmup)
        self._learning: asyncio.Task[None] | None = None
        metrics.GAUGES.observe(self)

    def snapshot(self) -> Snapshot:
        """What processes there are now."""
        return self._pool.snapshot()

    @property
    def queue_length(self) -> int:
        """Number of requests that wait for a process."""
        return len(self._pool.queue)

    @property
    def processes_by_kind(self) -> dict[Kind, int]:
        """Number of processes of each kind: starting, spare, idle, busy, ending."""
        return self.snapshot().counts

    @property
    def active_sessions(self) -> int:
        """Number of sessions that requests have."""
        return len(self._pool.claimed)

    @property
    def config_directory(self) -> Path:
        """Where the CLI has its login, its transcripts and the user's settings."""
        return locations.config_directory({**os.environ, **self.cli_env})

    @property
    def transcripts(self) -> Transcripts:
        """The transcripts of the sessions that the processes have."""
        return Transcripts(self.config_directory)

    def find_cli(self) -> str:
        """The absolute path of the CLI; raises CLINotFound if there is none."""
        return locations.find_cli(self.cli_path)

    def environment(self, launch: Launch = PLAIN) -> dict[str, str]:
        """The environment of a CLI process that is started as `launch` says."""
        return command.child_environment(
            os.environ,
            extra=self.cli_env,
            max_retries=self.api_max_retries,
            secrets=self.hidden_env,
            launch=launch,
        )

    def acquire(
        self, conversation: Conversation, *, disposable: bool = False
    ) -> AbstractAsyncContextManager[Lease]:
        """Lend a session, ready for the question (see `Lender.acquire`)."""
        return self._lender.acquire(conversation, disposable=disposable)

    async def interrupt(self, session_id: str) -> bool:
        """Stop the turn of a session (see `Lender.interrupt`)."""
        return await self._lender.interrupt(session_id)

    def resting(self, session_id: str) -> AbstractAsyncContextManager[None]:
        """Keep a session without a process and a turn (see `Lender.resting`)."""
        return self._lender.resting(session_id)

    def is_busy_in(self, directory: str) -> bool:
        """Whether a turn runs or waits in `directory`."""
        return self._lender.is_busy_in(directory)

    async def release_directory(self, directory: str) -> None:
        """End all idle processes that run in `directory`: it may do less now."""
        await self._lender.release_directory(directory)

    async def catalog(self) -> ModelCatalog:
        """The models; the CLI is asked for them if that was not done before.

        Raises what `Lender.acquire` raises.
        """
        if not self.models.loaded:
            if self._learning is None or self._learning.done():
                learning = self._learn_models()
                self._learning = self._pool.tasks.start(learning, awaited=True)
            # All callers wait for the same answer, or get the same error.
            await asyncio.shield(self._learning)
        return self.models

    async def _learn_models(self) -> None:
        async with self._lender.new_session() as session:
            await self._warmup.initialize(session, Setup(None))

    async def reap(self) -> None:
        """End what an earlier server, which was killed, has left running."""
        directory = Path(jupyter_runtime_dir())
        with contextlib.suppress(OSError):  # what cannot be read has nothing of ours
            await asyncio.to_thread(reap, directory, self.log, self.close_grace_seconds)

    async def shutdown(self) -> None:
        """End every process. The manager cannot be used again."""
        await self._pool.shutdown()

    def end_now(self) -> None:
        """End every process without the event loop; blocks for a moment.

        For the instant before the server replaces itself with a new image.
        """
        self._pool.end_now()


def processes_for(memory_bytes: int) -> int:
    """Maximum number of processes at a time on a machine with that memory."""
    least = min(memory_bytes // 2 // PROCESS_BYTES, 4)
    return int(min(max(memory_bytes // 4 // PROCESS_BYTES, least, 1), 64))
