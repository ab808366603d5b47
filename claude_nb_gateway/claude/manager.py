"""The one owner of all CLI processes of a server."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_core.paths import jupyter_runtime_dir
from traitlets import Dict, Float, Instance, Integer, List, Unicode, default
from traitlets.config import LoggingConfigurable

from ..errors import CLINotFound, GatewayError, TooBusy
from . import command
from .idle import IdleSessions
from .models import ModelCatalog
from .process import CLIProcess, end_all
from .reaper import Ledger, reap
from .session import Session

PROCESS_BYTES = 200 * 2**20
# A refill at once would compete with the very turn that took the spare.
REFILL_DELAY_SECONDS = 0.25


@dataclass
class Lease:
    """A session lent for one turn.

    `turns_held` of the conversation are in it already. The borrower sets
    `stands_at` when the turn has ended well: to the digest of the conversation
    that the session then holds, so that its next turn can find it.
    """

    session: Session
    turns_held: int = 0
    stands_at: bytes | None = None


class CLIManager(LoggingConfigurable):
    """Starts, lends out, bounds and ends the Claude Code CLI processes."""

    cli_path = Unicode(
        "",
        config=True,
        help="""The `claude` executable. Empty: the one that comes with the package
        claude-agent-sdk, else the one on PATH.""",
    )
    cli_env = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="Environment variables for the CLI, over those it inherits.",
    )
    hidden_env = List(
        Unicode(),
        default_value=list(command.SECRETS),
        config=True,
        help="Shell patterns of the server's variables that the CLI never sees.",
    )
    max_processes = Integer(
        config=True,
        help="""Most CLI processes at one time, of any kind. By default a quarter of
        the machine's memory at 200 MiB each, from 4 to 64.""",
    )
    spare_processes = Integer(
        1,
        config=True,
        help="CLI processes kept started for the next conversation, after the first.",
    )
    spare_idle_timeout_seconds = Float(
        600.0, config=True, help="Spares are ended when no request came for so long."
    )
    session_idle_timeout_seconds = Float(
        600.0,
        config=True,
        help="""How long a process stays with its conversation after an answer. The
        next turn then needs no start and no history. 0 keeps none.""",
    )
    queue_timeout_seconds = Float(
        30.0,
        config=True,
        help="How long a request above `max_processes` waits before it is refused.",
    )
    control_timeout_seconds = Float(
        30.0, config=True, help="How long the CLI may take to start or to be set up."
    )
    stall_timeout_seconds = Float(
        300.0, config=True, help="A turn without any output for so long is given up."
    )
    turn_timeout_seconds = Float(
        3600.0, config=True, help="A turn that lasts longer is given up."
    )
    close_grace_seconds = Float(
        2.0,
        config=True,
        help="""How long a process is given to end after its input is closed, and
        again after SIGTERM, before SIGKILL.""",
    )
    line_limit_bytes = Integer(
        64 * 2**20, config=True, help="The longest line accepted from the CLI."
    )
    api_max_retries = Integer(
        0,
        config=True,
        help="""How often the CLI itself asks the model's API again after a failure,
        before the client is told. OpenAI clients try again by themselves.""",
    )
    models = Instance(ModelCatalog)

    @default("models")
    def _default_models(self) -> ModelCatalog:
        return ModelCatalog(parent=self)

    @default("max_processes")
    def _default_max_processes(self) -> int:
        fitting = psutil.virtual_memory().total // 4 // PROCESS_BYTES
        return int(min(max(fitting, 4), 64))

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._slots = asyncio.Semaphore(self.max_processes)
        self._sessions: set[Session] = set()
        self._lent: set[Session] = set()
        self._booting = asyncio.Semaphore(os.cpu_count() or 1)
        self._queued = 0
        self._idle = IdleSessions(dismiss=self._dismiss)
        self._spares: list[Session] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._refill: asyncio.Task[None] | None = None
        self._cull: asyncio.TimerHandle | None = None
        self._catalog_lock = asyncio.Lock()
        self._directory = ""
        self._ledger: Ledger | None = None
        self._recording = asyncio.Lock()
        self._closing = False

    @property
    def active_sessions(self) -> int:
        """How many sessions are lent out now."""
        return len(self._lent)

    def find_cli(self) -> str:
        """The absolute path of the CLI.

        Raises
        ------
        CLINotFound
            None of the places has one; the message says what to install.
        """
        candidates = [self.cli_path] if self.cli_path else [_bundled_cli(), "claude"]
        for candidate in candidates:
            found = shutil.which(os.path.expanduser(candidate))
            if found:
                return os.path.abspath(found)
        raise CLINotFound(
            "The Claude Code CLI was not found on the server. Install it there with "
            "`pip install claude-agent-sdk`, or point CLIManager.cli_path at it.",
            detail=f"looked for: {', '.join(filter(None, candidates))}",
        )

    @contextlib.asynccontextmanager
    async def session(self, digests: Sequence[bytes] = ()) -> AsyncIterator[Lease]:
        """Lend the session that stands at the last of `digests`, or a fresh one.

        A fresh one holds no turns and is not yet initialized. At the end it is
        kept if the lease says where it stands; otherwise what still runs on it is
        interrupted and it is ended, in a task of the manager's.

        Raises
        ------
        TooBusy
            No process became free within `queue_timeout_seconds`.
        CLINotFound
            There is no CLI to start.
        """
        found = self._idle.take(digests)
        if found is not None:
            lease = Lease(found[1], turns_held=found[0] + 1)
        else:
            lease = Lease(await self._claim())
            self._keep_spares()
        self._lent.add(lease.session)
        try:
            yield lease
        finally:
            self._lent.discard(lease.session)
            self._take_back(lease)

    async def initialize(self, session: Session, system: tuple[str, ...]) -> None:
        """Bind `session` to its system prompt and learn which models there are."""
        about = await session.initialize(system=system)
        self.models.update(about.get("models", []))

    async def catalog(self) -> ModelCatalog:
        """The models, asked of the CLI if it was not asked before."""
        async with self._catalog_lock:
            if not self.models.loaded:
                async with self.session() as lease:
                    await self.initialize(lease.session, ())
        return self.models

    async def reap(self) -> None:
        """End what an earlier server, killed, has left running."""
        directory = Path(jupyter_runtime_dir())
        await asyncio.to_thread(reap, directory, self.log, self.close_grace_seconds)

    async def shutdown(self) -> None:
        """End every process and forget everything; the manager is done for."""
        self._closing = True
        if self._cull is not None:
            self._cull.cancel()
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.wait([self._refill])
        while self._idle.take_oldest() is not None:
            pass  # its timer is stopped; it is ended with all others
        for session in list(self._sessions):
            self._own(self._retire(session))
        while self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.to_thread(self._forget)

    def end_now(self) -> None:
        """End every process without the event loop; blocks for a moment.

        For the instant before the server replaces itself with a new image.
        """
        found: list[psutil.Process] = []
        for session in self._sessions:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(session.process.pid)
                found += [process, *process.children(recursive=True)]
        end_all(found, self.close_grace_seconds)
        self._forget()

    async def _claim(self) -> Session:
        while self._spares:
            spare = self._spares.pop(0)
            if spare.process.alive:
                return spare
            self._dismiss(spare)
        self._queued += 1
        try:
            self._make_room()
            async with asyncio.timeout(self.queue_timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise TooBusy(
                f"All {self.max_processes} Claude processes of the server are busy. "
                "Try again later.",
                retry_after_seconds=max(1, round(self.queue_timeout_seconds / 2)),
            ) from None
        finally:
            self._queued -= 1
        return await self._boot()

    def _make_room(self) -> None:
        # An idle session or a spare is worth less than a request that waits.
        if self._queued and self._slots.locked():
            least = self._idle.take_oldest()
            if least is None and self._spares:
                least = self._spares.pop()
            if least is not None:
                self._dismiss(least)

    async def _boot(self) -> Session:
        # Takes over a slot from the caller. All at once, processes would start so
        # slowly that none answers for seconds: as many at a time as there are cores.
        try:
            await self._booting.acquire()
        except BaseException:
            self._slots.release()
            raise
        try:
            session = await self._start()
            try:
                await session.warm_up()
            except BaseException:
                self._dismiss(session)
                raise
        finally:
            self._booting.release()
        return session

    async def _start(self) -> Session:
        # From here on the slot belongs to the process, until that is gone.
        try:
            if not self._directory:
                self._directory = tempfile.mkdtemp(prefix="claude-gateway-")
                self._ledger = Ledger(Path(jupyter_runtime_dir()), self._directory)
            process = await CLIProcess.start(
                command.chat_command(self.find_cli()),
                env=command.child_environment(
                    os.environ,
                    extra=self.cli_env,
                    max_retries=self.api_max_retries,
                    secrets=self.hidden_env,
                ),
                cwd=self._directory,
                line_limit_bytes=self.line_limit_bytes,
                grace_seconds=self.close_grace_seconds,
                log=self.log,
            )
        except BaseException:
            self._slots.release()
            raise
        session = Session(process, control_timeout_seconds=self.control_timeout_seconds)
        self._sessions.add(session)
        self._own(self._record())
        if self._closing:
            self._own(self._close(session))
        return session

    def _take_back(self, lease: Lease) -> None:
        session, timeout = lease.session, self.session_idle_timeout_seconds
        usable = session.process.alive and not session.in_turn and not self._closing
        if lease.stands_at is not None and usable and timeout > 0:
            self._idle.put(lease.stands_at, session, timeout)
            self._make_room()
        else:
            self._own(self._retire(session))

    def _dismiss(self, session: Session) -> None:
        self._own(self._close(session))

    async def _retire(self, session: Session) -> None:
        try:
            async with asyncio.timeout(self.close_grace_seconds):
                await session.interrupt()
        except (TimeoutError, GatewayError) as error:
            self.log.debug("closing without an interrupt: %r", error)
        await self._close(session)

    async def _close(self, session: Session) -> None:
        await session.process.close()
        if session in self._sessions:
            self._sessions.discard(session)
            self._slots.release()
            await self._record()

    async def _record(self) -> None:
        async with self._recording:
            if self._ledger is not None and not self._closing:
                pids = [session.process.pid for session in self._sessions]
                await asyncio.to_thread(self._ledger.write, pids)

    def _forget(self) -> None:
        if self._ledger is not None:
            self._ledger.remove()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _keep_spares(self) -> None:
        loop = asyncio.get_running_loop()
        if self._cull is not None:
            self._cull.cancel()
        self._cull = loop.call_later(self.spare_idle_timeout_seconds, self._cull_spares)
        if self._refill is None or self._refill.done():
            self._refill = asyncio.create_task(self._refill_spares())

    def _cull_spares(self) -> None:
        while self._spares:
            self._dismiss(self._spares.pop())

    async def _refill_spares(self) -> None:
        await asyncio.sleep(REFILL_DELAY_SECONDS)
        while len(self._spares) < self.spare_processes and not self._slots.locked():
            await self._slots.acquire()
            try:
                self._spares.append(await self._boot())
                self._make_room()
            except GatewayError as error:
                self.log.warning("no spare CLI: %s %s", error, error.detail)
                return


def _bundled_cli() -> str:
    # find_spec does not import the package, which would take half a second.
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return ""
    return str(Path(spec.origin).with_name("_bundled") / "claude")
