"""The one owner of all CLI processes of a server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_core.paths import (
    jupyter_runtime_dir,
)
from traitlets import Dict, Float, Instance, Integer, List, Unicode, default
from traitlets.config import LoggingConfigurable

from .. import metrics
from ..errors import (
    GatewayError,
    InvalidRequest,
    ProtocolError,
    SessionBusy,
    ShuttingDown,
    TooBusy,
    quoted,
)
from . import command, locations, machine
from .guard import Guarded
from .models import ModelCatalog
from .pool.idle import IdleSessions
from .pool.ledger import Ledger, reap
from .pool.locks import Writers
from .pool.queue import Line, Place
from .pool.spares import Spares
from .process import CLIProcess, end_all
from .profile import CHAT, PLAIN, Launch
from .protocol import RateLimits
from .session import Session
from .transcripts import Transcripts
from .turns import Conversation, Setup

PROCESS_BYTES = 200 * 2**20
# Spares are replaced when no conversation has begun for so long, since starting
# them competes with the turns of those that begin; or in spite of that after
# so long.
LULL_SECONDS = 0.25
REFILL_AFTER_SECONDS = 2.0


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
        help="""Shell patterns of the server's variables that the CLI never sees, by
        default of whatever is named like a secret, but for what Claude Code reaches its
        model by. The last that fits decides; one that begins with an exclamation mark
        shows what others hide: "!GITHUB_TOKEN".""",
    )
    private_paths = List(
        Unicode(),
        config=True,
        help="""Files and directories that Claude's tools for files neither read nor
        write in projects, beside Jupyter's and Claude Code's own. Bash is not
        bound.""",
    )
    max_processes = Integer(
        config=True,
        help="""Most CLI processes at one time, of any kind. By default a quarter of
        the memory at 200 MiB each, from 4 to 64, or half of it where that is less
        than 4. A limit of the container, or in MEM_LIMIT, counts as the memory.""",
    )
    spare_processes = Integer(
        2,
        config=True,
        help="""CLI processes kept started for the next conversations, once there was
        one. 0 keeps none.""",
    )
    max_spare_processes = Integer(
        4,
        config=True,
        help="""How many CLI processes are kept started after many conversations have
        begun at about the same time.""",
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
    tool_result_timeout_seconds = Float(
        600.0,
        config=True,
        help="""How long a process waits for the results of the model's calls of the
        client's functions. Results that come later go to another one, as history.""",
    )
    queue_timeout_seconds = Float(
        30.0,
        config=True,
        help="How long a request above `max_processes` waits before it is refused.",
    )
    max_queue_length = Integer(
        256,
        min=1,
        config=True,
        help="""So many requests wait for a process, and so many for the same session;
        more are refused at once.""",
    )
    control_timeout_seconds = Float(
        30.0,
        config=True,
        help="""How long the CLI may take to start, to be set up, or to read what it is
        sent.""",
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
    session_wait_seconds = Float(
        60.0,
        config=True,
        help="""How long a request waits for a session that is in the middle of a turn
        of another request, before it is refused with 409. 0 refuses at once.""",
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
        return processes_for(machine.memory_bytes())

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        #: What the CLI said last of the account's limits, for who asks.
        self.rate_limits: RateLimits | None = None
        self._sessions: set[Session] = set()
        self._lent: set[Session] = set()
        self._idle = IdleSessions(dismiss=self._dismiss)
        # With few places most of them are for conversations.
        places = self.max_processes // 2
        self._spares = Spares(
            min(self.spare_processes, places),
            min(self.max_spare_processes, places),
            dismiss=self._dismiss,
        )
        self._line = Line()
        self._places_taken = 0
        self._writers = Writers(self.max_queue_length)
        # The sessions that a turn is about to be asked in, and whether it was stopped.
        self._preparing: dict[str, bool] = {}
        self._launching = 0
        self._can_rehearse = True
        self._cores = machine.cores()
        self._refilling = False
        self._ending: set[Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refill: asyncio.TimerHandle | None = None
        self._refill_by = 0.0
        self._cull: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._directory = ""
        self._ledger: Ledger | None = None
        self._recording = asyncio.Lock()
        self._closing = False
        metrics.GAUGES.observe(self)

    @property
    def queue_length(self) -> int:
        """How many requests wait for a process."""
        return len(self._line)

    @property
    def processes_by_kind(self) -> dict[str, int]:
        """How many processes there are: starting, spare, idle, busy, ending."""
        counted = {
            "starting": len(self._line.starting),
            "spare": len(self._spares),
            "idle": len(self._idle),
            "busy": len(self._lent),
        }
        return {**counted, "ending": self._places_taken - sum(counted.values())}

    @property
    def active_sessions(self) -> int:
        """How many sessions are lent out now."""
        return len(self._lent)

    def find_cli(self) -> str:
        """The absolute path of the CLI; raises CLINotFound if there is none."""
        return locations.find_cli(self.cli_path)

    def environment(self, launch: Launch = PLAIN) -> dict[str, str]:
        """The environment of a CLI process that is started for `launch`."""
        return command.child_environment(
            os.environ,
            extra=self.cli_env,
            max_retries=self.api_max_retries,
            secrets=self.hidden_env,
            launch=launch,
        )

    @contextlib.asynccontextmanager
    async def session(
        self,
        setup: Setup | None = None,
        digests: Sequence[bytes] = (),
        *,
        recorded: bool = True,
    ) -> AsyncIterator[Lease]:
        """Lend the session that stands at the last of `digests`, or a fresh one.

        A fresh one holds no turns, and may not be initialized: see `open`. At the
        end it is kept if the lease says where it stands; otherwise what still runs
        on it is interrupted and it is ended, in a task of the manager's. One that is
        not `recorded` leaves no transcript in a project either.

        Raises
        ------
        TooBusy
            No process became free within `queue_timeout_seconds`.
        CLINotFound
            There is no CLI to start.
        """
        found = self._idle.take(digests, self._may_continue)
        if found is None or setup is None:
            launch = _launch_for(setup) if recorded else _unrecorded(setup)
            lease = Lease(await self._claim(launch, setup))
            self._writers.begin(lease.session.launch.session_id)
        else:
            held, live = found[0] + 1, found[1]
            up_to_date = self._up_to_date(live, setup, held)
            lease = await self._prepared(live.launch.session_id, up_to_date)
        with self._lent_out(lease):
            yield lease

    @contextlib.asynccontextmanager
    async def named_session(self, conversation: Conversation) -> AsyncIterator[Lease]:
        """Lend the session that `conversation` names, with all its transcript says.

        Its own process is taken, if there is one and nobody else has written to the
        transcript since; otherwise one is started that goes on from it, or begins it.
        A session that is kept afterwards stands where only its id leads.

        Raises
        ------
        SessionBusy
            Another turn of it did not end within `session_wait_seconds`.
        InvalidRequest
            Its transcript is gone, or it does not wait for the results brought.
        TooBusy, CLINotFound
            See `session`.
        """
        session_id = conversation.session_id
        try:
            await self._writers.wait(session_id, self.session_wait_seconds)
        except TimeoutError:
            raise SessionBusy(session_id) from None
        try:
            lease = await self._prepared(session_id, self._find(conversation))
        except BaseException:
            self._writers.end(session_id)
            raise
        with self._lent_out(lease):
            yield lease

    async def interrupt(self, session_id: str) -> bool:
        """Stop the turn of the session; returns whether there was one.

        Its request is answered with what the model had said by then: with nothing
        if the turn was still being prepared.
        """
        for session in self._lent:
            if session.launch.session_id == session_id:
                await session.stop()
                return True
        if session_id in self._preparing:
            self._preparing[session_id] = True
            return True
        return await self.release(session_id)

    @contextlib.asynccontextmanager
    async def resting(self, session_id: str) -> AsyncIterator[None]:
        """Keep the session without a process, and without a turn, for a while.

        Raises
        ------
        SessionBusy
            It is in the middle of a turn.
        """
        if not self._writers.free(session_id):
            raise SessionBusy(session_id)
        self._writers.begin(session_id)
        try:
            await self.release(session_id)
            yield
        finally:
            self._writers.end(session_id)

    def is_busy_in(self, directory: str) -> bool:
        """Whether a turn runs in `directory`."""
        launches = [*self._line.launches, *(session.launch for session in self._lent)]
        return any(launch.profile.directory == directory for launch in launches)

    async def release(self, session_id: str) -> bool:
        """End the session's idle process, if it has one; returns whether it had."""
        session = self._idle.take_named(session_id)
        if session is not None:
            await self._retire(session)
        return session is not None

    async def release_directory(self, directory: str) -> None:
        """End all idle processes that run in `directory`: it may do less now."""
        found = self._idle.take_where(
            lambda session: session.launch.profile.directory == directory
        )
        for session in found:
            await self._retire(session)

    @property
    def config_directory(self) -> Path:
        """Where the CLI has its login, its transcripts and what the user set there."""
        return locations.config_directory({**os.environ, **self.cli_env})

    @property
    def transcripts(self) -> Transcripts:
        """The transcripts of the sessions that the processes have."""
        return Transcripts(self.config_directory)

    async def open(
        self,
        session: Session,
        setup: Setup,
        max_output_tokens: int | None = None,
    ) -> None:
        """Make `session` ready for the next turn of a conversation with `setup`.

        Raises
        ------
        InvalidRequest
            There is no such model.
        ProtocolError
            The session is bound to another setup.
        """
        if session.setup is None:
            await self._initialize(session, setup)
        elif not session.fits(setup):
            raise ProtocolError(
                "The gateway took a process that was made ready for another request. "
                "Try again."
            )
        await session.apply_settings(
            model=self.models.resolve(setup.model),
            effort=setup.effort,
            max_output_tokens=max_output_tokens,
        )

    async def catalog(self) -> ModelCatalog:
        """The models, asked of the CLI if it was not asked before."""
        if not self.models.loaded:
            if self._asking is None or self._asking.done():
                self._asking = self._own(self._ask_for_models())
            # All who want them now wait for the one answer, or its failure.
            await asyncio.shield(self._asking)
        return self.models

    async def reap(self) -> None:
        """End what an earlier server, killed, has left running."""
        directory = Path(jupyter_runtime_dir())
        with contextlib.suppress(OSError):  # what cannot be read has nothing of ours
            await asyncio.to_thread(reap, directory, self.log, self.close_grace_seconds)

    async def shutdown(self) -> None:
        """End every process and forget everything; the manager is done for."""
        self._closing = True
        for timer in (self._cull, self._refill):
            if timer is not None:
                timer.cancel()
        self._line.refuse_all(ShuttingDown())
        for session in self._lent:
            # An answer that is cut here is none.
            session.abandon(ShuttingDown())
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

    async def _ask_for_models(self) -> None:
        async with self.session() as lease:
            await self._initialize(lease.session, Setup(None))

    async def _initialize(self, session: Session, setup: Setup) -> None:
        about = await session.initialize(setup)
        self.models.update(about.get("models", []))

    @contextlib.contextmanager
    def _lent_out(self, lease: Lease) -> Iterator[None]:
        self._lent.add(lease.session)
        try:
            yield
        finally:
            self._lent.discard(lease.session)
            self._take_back(lease)

    async def _prepared(self, session_id: str, finding: Awaitable[Lease]) -> Lease:
        """The lease that `finding` finds, stopped if that was asked for meanwhile."""
        self._preparing[session_id] = False
        try:
            lease = await finding
        finally:
            stopped = self._preparing.pop(session_id, False)
        lease.session.stopped = stopped
        return lease

    async def _find(self, conversation: Conversation) -> Lease:
        live = self._idle.take_named(conversation.session_id)
        if live is not None:
            try:
                if await self._serves(live, conversation):
                    metrics.SESSIONS.labels("live").inc()
                    return Lease(live)
                await self._retire(live)
            except BaseException:
                self._dismiss(live)
                raise
        # One that is still ending may still be writing.
        for session in list(self._sessions):
            if session.launch.session_id == conversation.session_id:
                await self._close(session)
        return Lease(await self._resume(conversation))

    async def _up_to_date(self, live: Session, setup: Setup, turns_held: int) -> Lease:
        """`live`, or one that goes on from its transcript if another has written it.

        Where that cannot be, a fresh one that holds nothing.
        """
        session_id = live.launch.session_id
        self._writers.begin(session_id)
        try:
            if not session_id or not await self._moved(live):
                metrics.SESSIONS.labels("live").inc()
                return Lease(live, turns_held)
            await self._retire(live)
            tail = await self._tail(setup.profile.directory, session_id)
            if tail is not None:
                resumed = await self._go_on(setup, session_id, tail)
                return Lease(resumed, turns_held)
            fresh = await self._claim(_launch_for(setup), setup)
            self._writers.end(session_id)
            self._writers.begin(fresh.launch.session_id)
            return Lease(fresh)
        except BaseException:
            self._dismiss(live)
            self._writers.end(session_id)
            raise

    async def _serves(self, session: Session, conversation: Conversation) -> bool:
        fits = session.fits(conversation.setup)
        awaited = session.awaits == conversation.results
        return fits and awaited and not await self._moved(session)

    async def _resume(self, conversation: Conversation) -> Session:
        setup, session_id = conversation.setup, conversation.session_id
        if conversation.results:
            raise InvalidRequest(
                "`messages`: the session no longer waits for these results of calls. "
                "Send what they say as text.",
                param="messages",
                code="results_not_awaited",
            )
        tail = await self._tail(setup.profile.directory, session_id)
        if tail is None and conversation.begun:
            raise InvalidRequest(
                f"The transcript of the session {quoted(session_id)} is gone: Claude "
                "Code removes old ones (its setting cleanupPeriodDays). Make a new "
                "session.",
                param="session_id",
                code="session_transcript_missing",
            )
        return await self._go_on(setup, session_id, tail)

    async def _go_on(self, setup: Setup, session_id: str, tail: str | None) -> Session:
        launch = Launch(
            setup.profile,
            session_id,
            resumed=tail is not None,
            model=self.models.known(setup.model),
            effort=setup.effort,
        )
        started = await self._claim(launch, setup)
        started.known.add(tail or "")
        return started

    def _may_continue(self, session: Session) -> bool:
        session_id = session.launch.session_id
        # Without a transcript there is no way back to what was asked.
        astray = session.strayed and not session_id
        return not astray and self._writers.free(session_id)

    async def _moved(self, session: Session) -> bool:
        if session.strayed:
            return True
        if session.waiting:
            return False  # it is in the middle of a turn, and does not hear of others
        launch = session.launch
        tail = await self._tail(launch.profile.directory, launch.session_id)
        return (tail or "") not in session.known

    async def _tail(self, directory: str, session_id: str) -> str | None:
        def read() -> str | None:
            """Read the id of the last message; blocks."""
            where = directory or locations.sessions_directory()
            return self.transcripts.tail(where, session_id)

        return await asyncio.to_thread(read)

    async def _claim(self, launch: Launch, setup: Setup | None) -> Session:
        if self._closing:
            raise ShuttingDown
        if launch == PLAIN:
            self._expect_more()
            spare = self._spares.take(setup)
            if spare is not None:
                metrics.SESSIONS.labels("prepared" if spare.setup else "spare").inc()
                return spare
        if len(self._line) >= self.max_queue_length:
            raise self._too_busy(f"{len(self._line)} requests wait for one already.")
        place = self._line.join(launch, setup)
        self._start_more()
        try:
            with metrics.QUEUE_WAIT_SECONDS.time():
                session = await self._wait_in_line(place)
        except BaseException:
            if place in self._line:
                self._line.leave(place)
            elif place.taken_by.done() and place.taken_by.exception() is None:
                self._own(self._offer(place.taken_by.result()))
            raise
        metrics.SESSIONS.labels("started").inc()
        return session

    async def _wait_in_line(self, place: Place) -> Session:
        # Awaited itself, the place would be cancelled with its request, while a process
        # is put there.
        await asyncio.wait([place.taken_by], timeout=self.queue_timeout_seconds)
        if place in self._line and self._line.is_served(place):
            # One is starting for it. It may turn out to be bound to another setup.
            await asyncio.wait([place.taken_by], timeout=self.control_timeout_seconds)
        if place in self._line:
            raise self._too_busy("Try again later.")
        return place.taken_by.result()

    def _too_busy(self, what: str) -> TooBusy:
        return TooBusy(
            f"The server is overloaded (rate limit reached): all {self.max_processes} "
            f"Claude processes are busy. {what}",
            retry_after_seconds=max(1, round(self.queue_timeout_seconds / 2)),
        )

    def _settle(self, session: Session) -> None:
        if place := self._line.take_next(session.launch, session):
            place.taken_by.set_result(session)
        elif session.launch != PLAIN or self._closing or self._spares.missing <= 0:
            self._dismiss(session)
        else:
            self._spares.put(session)

    def _start_more(self) -> None:
        if self._closing:
            return
        spares = self._spares.missing if self._refilling else 0
        # All at once, processes would start so slowly that none answers for
        # seconds: as many at a time as there are cores, and one less where nobody
        # waits, for the turns that are running.
        cores = self._cores
        at_once = min(cores, max(len(self._line), cores - 1, 1)) - self._launching
        room = self.max_processes - self._places_taken
        wanted = self._line.to_start(spares)
        for_requests = len(wanted) - spares
        for number, launch in enumerate(wanted[: max(min(at_once, room), 0)]):
            self._line.starting.append(launch)
            self._launching += 1
            self._places_taken += 1
            self._own(self._start_one(launch, is_spare=number >= for_requests))
        self._refilling = spares > 0
        if self._places_taken >= self.max_processes:
            self._make_room(spares)

    def _make_room(self, for_spares: int) -> None:
        # What waits for a client is worth less than a client that waits, and the
        # conversation that has rested longest less than the next to begin.
        short = len(self._line) - len(self._line.starting) - len(self._ending)
        while short + for_spares > 0 and (least := self._idle.take_oldest()):
            self._dismiss(least)
            short -= 1
        while short > 0 and (least := self._spares.take_least()):
            self._dismiss(least)
            short -= 1

    async def _start_one(self, launch: Launch, *, is_spare: bool) -> None:
        session = None
        try:
            session = await self._start(launch)
            if launch == PLAIN and not self._line:
                await self._make_ready(session)
        except Exception as error:
            self._line.starting.remove(launch)
            if session is not None:
                self._dismiss(session)
            else:
                self._places_taken -= 1
            self._refilling = False
            place = None if is_spare else self._line.take_next(launch)
            if place is not None:
                place.taken_by.set_exception(error)
            else:
                detail = getattr(error, "detail", "")
                bug = None if isinstance(error, GatewayError) else error
                self.log.warning("no spare CLI: %s %s", error, detail, exc_info=bug)
        else:
            self._line.starting.remove(launch)
            self._settle(session)
            # It may still be starting, with whoever has it now.
            await session.started()
        finally:
            self._launching -= 1
            self._start_more()

    async def _offer(self, session: Session) -> None:
        # It may not have been told anything yet, so it is not known to work.
        try:
            if session.launch == PLAIN:
                await self._make_ready(session)
        except GatewayError as error:
            self.log.debug("not kept: %r", error)
            self._dismiss(session)
        else:
            self._settle(session)

    async def _make_ready(self, session: Session) -> None:
        await session.warm_up()
        setup = self._spares.setup_to_prepare()
        if setup is None or self._line:
            return
        if self.models.accepts(setup.model):
            await self.open(session, setup)
            await self._rehearse(session)

    async def _rehearse(self, session: Session) -> None:
        if self._can_rehearse and not await session.rehearse():
            self._can_rehearse = False
            raise ProtocolError("The Claude Code CLI takes no turn back.")

    async def _start(self, launch: Launch) -> Session:
        if not self._directory:
            self._directory = tempfile.mkdtemp(prefix="claude-gateway-")
            self._ledger = Ledger(Path(jupyter_runtime_dir()), self._directory)
        guarded = await self._guarded() if launch.profile.directory else None
        process = await CLIProcess.start(
            command.command_for(self.find_cli(), launch, guarded),
            env=self.environment(launch),
            cwd=launch.profile.directory or await self._chat_directory(launch),
            line_limit_bytes=self.line_limit_bytes,
            grace_seconds=self.close_grace_seconds,
            input_timeout_seconds=self.control_timeout_seconds,
            log=self.log,
            directory_id=launch.profile.directory_id,
            guarded=bool(launch.profile.directory),
        )
        session = Session(
            process,
            control_timeout_seconds=self.control_timeout_seconds,
            gone=self._gone,
            launch=launch,
        )
        self._sessions.add(session)
        self._own(self._record())
        if self._closing:
            self._dismiss(session)
        return session

    async def _guarded(self) -> Guarded:
        environment = {**os.environ, **self.cli_env}
        return await asyncio.to_thread(
            locations.guarded, environment, self.private_paths
        )

    async def _chat_directory(self, launch: Launch) -> str:
        if not launch.session_id:
            return self._directory
        return await asyncio.to_thread(locations.sessions_directory)

    def _take_back(self, lease: Lease) -> None:
        session, timeout = lease.session, self.session_idle_timeout_seconds
        if session.waiting:
            timeout = self.tool_result_timeout_seconds
        at_rest = session.waiting or not (session.in_turn or session.stopped)
        usable = session.process.alive and at_rest and not self._closing
        if lease.stands_at is not None and usable and timeout > 0:
            self._idle.put(lease.stands_at, session, timeout)
            self._writers.end(session.launch.session_id)
            self._start_more()
        else:
            self._ending.add(session)
            self._own(self._give_up(session))

    def _gone(self, session: Session) -> None:
        was_spare = self._spares.discard(session)
        if self._idle.discard(session) or was_spare:
            self._dismiss(session)
            self._refilling = self._refilling or was_spare
            self._start_more()

    def _dismiss(self, session: Session) -> None:
        self._ending.add(session)
        self._own(self._retire(session))

    async def _retire(self, session: Session) -> None:
        try:
            async with asyncio.timeout(self.close_grace_seconds):
                await session.interrupt()
        except (TimeoutError, GatewayError) as error:
            self.log.debug("closing without an interrupt: %r", error)
        await self._close(session)

    async def _give_up(self, session: Session) -> None:
        try:
            await self._retire(session)
        finally:
            # Until it has ended it may still write.
            self._writers.end(session.launch.session_id)

    async def _close(self, session: Session) -> None:
        await session.process.close()
        self._ending.discard(session)
        if session in self._sessions:
            self._sessions.discard(session)
            self._places_taken -= 1
            self._start_more()
            await self._record()

    async def _record(self) -> None:
        async with self._recording:
            if self._ledger is not None and not self._closing:
                pids = [session.process.pid for session in self._sessions]
                try:
                    await asyncio.to_thread(self._ledger.write, pids)
                except OSError as error:
                    self._ledger = None  # once is enough to say it
                    self.log.warning(
                        "Jupyter's runtime directory cannot be written (%s): what is "
                        "left running if this server is killed, no other ends.",
                        error,
                    )

    def _forget(self) -> None:
        if self._ledger is not None:
            with contextlib.suppress(OSError):
                self._ledger.remove()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _expect_more(self) -> None:
        loop = asyncio.get_running_loop()
        if self._cull is not None:
            self._cull.cancel()
        self._cull = loop.call_later(
            self.spare_idle_timeout_seconds, self._spares.clear
        )
        if self._refill is None:
            self._refill_by = loop.time() + REFILL_AFTER_SECONDS
        else:
            self._refill.cancel()
        at = min(loop.time() + LULL_SECONDS, self._refill_by)
        self._refill = loop.call_at(at, self._refill_spares)

    def _refill_spares(self) -> None:
        self._refill = None
        self._refilling = True
        self._start_more()


def processes_for(memory_bytes: int) -> int:
    """How many processes a server with so much memory runs at one time."""
    least = min(memory_bytes // 2 // PROCESS_BYTES, 4)
    return int(min(max(memory_bytes // 4 // PROCESS_BYTES, least, 1), 64))


def _unrecorded(setup: Setup | None) -> Launch:
    return PLAIN if setup is None else Launch(setup.profile)


def _launch_for(setup: Setup | None) -> Launch:
    if setup is None or setup.profile == CHAT:
        return PLAIN
    # A conversation in a project is a session of that directory like any other.
    return Launch(setup.profile, str(uuid.uuid4()))
