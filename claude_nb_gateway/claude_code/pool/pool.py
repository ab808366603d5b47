"""The CLI processes: who gets which, how many there are, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import psutil

from ... import metrics
from ...errors import GatewayError, ShuttingDown, TooBusy
from .. import machine
from ..process import end_all
from ..profile import PLAIN, Launch
from ..session import Session
from ..tasks import BackgroundTasks
from ..turns import Setup
from .idle import IdleSessions
from .launcher import Launcher, LaunchSettings
from .queue import Queue, Ticket
from .refill import Refill
from .snapshot import Kind, ProcessSnapshot, Snapshot
from .spares import Spares
from .warmup import Warmup


class PoolSettings(LaunchSettings, Protocol):
    """How many processes there are, and how long things take: traits of `CLIManager`.

    They are read whenever they are needed, since they can change.
    """

    @property
    def max_processes(self) -> int:
        """Maximum number of processes."""

    @property
    def spare_processes(self) -> int:
        """Number of spares."""

    @property
    def max_spare_processes(self) -> int:
        """Number of spares after bursts."""

    @property
    def spare_idle_timeout_seconds(self) -> float:
        """Time without a conversation after which spares are ended."""

    @property
    def queue_timeout_seconds(self) -> float:
        """Maximum time in the queue."""

    @property
    def max_queue_length(self) -> int:
        """Maximum number of requests in the queue."""


class ProcessPool:
    """Starts sessions, hands them out, keeps spare and idle ones, and ends them.

    A session belongs to the pool, or to the caller who has claimed it. Such a caller
    gives it back by `keep`, or ends it by `dismiss` or `retire`.
    """

    def __init__(self, settings: PoolSettings, warmup: Warmup) -> None:
        self.idle = IdleSessions(dismiss=self.dismiss)
        self.queue = Queue()
        self.tasks = BackgroundTasks(settings.log)
        self.closing = False
        self._settings = settings
        self.log = settings.log
        self._warmup = warmup
        self._launcher = Launcher(settings)
        # If there is room for few processes, most of it is for conversations.
        half = settings.max_processes // 2
        self._spares = Spares(
            min(settings.spare_processes, half),
            min(settings.max_spare_processes, half),
            dismiss=self.dismiss,
        )
        self._sessions: set[Session] = set()
        self._claimed: set[Session] = set()
        self._ending: set[Session] = set()
        self._places_taken = 0
        self._launching = 0
        self._cores = machine.cores()
        self._refill = Refill(start=self._start_more, cull=self._spares.clear)

    def snapshot(self) -> Snapshot:
        """What processes there are now."""
        return Snapshot(
            tuple(map(self._process_snapshot, self._sessions)),
            starting=len(self.queue.starting),
            places_taken=self._places_taken,
            queue_length=len(self.queue),
            directory=self._launcher.directory,
        )

    def _process_snapshot(self, session: Session) -> ProcessSnapshot:
        return ProcessSnapshot(
            session.process.pid,
            self._kind_of(session),
            session.launch,
            session.setup,
            session.unread,
        )

    def _kind_of(self, session: Session) -> Kind:
        if session in self._ending:
            return "ending"
        if session in self._claimed:
            return "busy"
        if session in self.idle:
            return "idle"
        return "spare" if session in self._spares else "starting"

    @property
    def claimed(self) -> frozenset[Session]:
        """The sessions that callers have."""
        return frozenset(self._claimed)

    def sessions(self, session_id: str) -> list[Session]:
        """The sessions with this id whose processes have not ended yet."""
        return [s for s in self._sessions if s.launch.session_id == session_id]

    async def claim(self, launch: Launch, setup: Setup | None) -> Session:
        """A session started as `launch` says, which fits `setup`.

        Raises
        ------
        TooBusy
            No process became free within `queue_timeout_seconds`, or the queue is full.
        CLINotFound
            There is no CLI to start.
        ShuttingDown
        """
        if self.closing:
            raise ShuttingDown
        session = self._take_spare(setup) if launch == PLAIN else None
        if session is None:
            session = await self._wait_for_start(launch, setup)
            metrics.SESSIONS.labels("started").inc()
        return session

    def claim_idle(
        self, digests: Sequence[bytes], accepts: Callable[[Session], bool]
    ) -> tuple[int, Session] | None:
        """An idle session and the index of its digest (see `IdleSessions.take`)."""
        found = self.idle.take(digests, accepts)
        if found is not None:
            self._claimed.add(found[1])
        return found

    def claim_named(self, session_id: str) -> Session | None:
        """The idle session with this id, None if there is none."""
        session = self.idle.take_named(session_id)
        if session is not None:
            self._claimed.add(session)
        return session

    def _take_spare(self, setup: Setup | None) -> Session | None:
        self._refill.conversation_begins(self._settings.spare_idle_timeout_seconds)
        spare = self._spares.take(setup)
        if spare is not None:
            self._claimed.add(spare)
            metrics.SESSIONS.labels("prepared" if spare.setup else "spare").inc()
        return spare

    async def _wait_for_start(self, launch: Launch, setup: Setup | None) -> Session:
        if len(self.queue) >= self._settings.max_queue_length:
            raise self._too_busy(f"{len(self.queue)} requests wait for one already.")
        ticket = self.queue.join(launch, setup)
        self._start_more()
        try:
            with metrics.QUEUE_WAIT_SECONDS.time():
                return await self._wait_with(ticket)
        except BaseException:
            if ticket in self.queue:
                self.queue.leave(ticket)
            elif ticket.session.done() and ticket.session.exception() is None:
                self.tasks.start(self._offer(ticket.session.result()))
            raise

    async def _wait_with(self, ticket: Ticket) -> Session:
        # The future is not awaited itself: it would be cancelled with its request,
        # while a session is put there.
        timeout = self._settings.queue_timeout_seconds
        await asyncio.wait([ticket.session], timeout=timeout)
        if ticket in self.queue and self.queue.is_served(ticket):
            # One is starting for it. It may turn out to be bound to another setup.
            timeout = self._settings.control_timeout_seconds
            await asyncio.wait([ticket.session], timeout=timeout)
        if ticket in self.queue:
            raise self._too_busy("Try again later.")
        return ticket.session.result()

    def _too_busy(self, what: str) -> TooBusy:
        return TooBusy(
            "The server is overloaded (rate limit reached): all "
            f"{self._settings.max_processes} Claude processes are busy. {what}",
            retry_after_seconds=max(1, round(self._settings.queue_timeout_seconds / 2)),
        )

    def keep(self, position: bytes, session: Session, timeout_seconds: float) -> None:
        """Keep a claimed session for the next turn of its conversation."""
        self._claimed.discard(session)
        self.idle.put(position, session, timeout_seconds)
        self._start_more()

    def dismiss(
        self, session: Session, then: Callable[[Session], None] | None = None
    ) -> None:
        """End a session in the background; `then` is called when it has ended."""
        self._claimed.discard(session)
        self._ending.add(session)
        self.tasks.start(self._end_then(session, then))

    async def _end_then(
        self, session: Session, then: Callable[[Session], None] | None
    ) -> None:
        try:
            await self._end(session)
        finally:
            if then is not None:
                then(session)

    def retire(self, session: Session) -> asyncio.Future[None]:
        """Interrupt what runs in a session, and end it with its process.

        Await the result to wait for the end, which comes also if that is cancelled.
        """
        self._claimed.discard(session)
        self._ending.add(session)
        return asyncio.shield(self.tasks.start(self._end(session), awaited=True))

    async def _end(self, session: Session) -> None:
        try:
            async with asyncio.timeout(self._settings.close_grace_seconds):
                await session.wind_down()
        except (TimeoutError, GatewayError) as error:
            self.log.debug("closing without an interrupt: %r", error)
        await self.close(session)

    async def close(self, session: Session) -> None:
        """End the process of a session."""
        await session.process.close()
        self._ending.discard(session)
        if session in self._sessions:
            self._sessions.discard(session)
            self._places_taken -= 1
            self._start_more()
            await self._record()

    async def shutdown(self) -> None:
        """End every process and forget everything. The pool cannot be used again."""
        self.closing = True
        self._refill.stop()
        self.queue.refuse_all(ShuttingDown())
        for session in self._claimed:
            # An incomplete answer must not look complete.
            session.abandon(ShuttingDown())
        self.idle.take_where(lambda session: True)  # which stops their timers
        for session in self._sessions - self._ending:
            self.dismiss(session)
        await self.tasks.wait()
        await asyncio.to_thread(self._launcher.clean_up)

    def end_now(self) -> None:
        """End every process without the event loop; blocks for a moment.

        For the instant before the server replaces itself with a new image.
        """
        end_all(list(self._all_processes()), self._settings.close_grace_seconds)
        self._launcher.clean_up()

    def _all_processes(self) -> Iterator[psutil.Process]:
        for session in self._sessions:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(session.process.pid)
                yield from (process, *process.children(recursive=True))

    def _start_more(self) -> None:
        if self.closing:
            return
        spares = self._spares.missing if self._refill.is_due else 0
        # Started all at once, no process would answer for seconds. So as many start at
        # a time as there are cores; one less if few requests wait, for the turns that
        # run.
        cores = self._cores
        at_once = min(cores, max(len(self.queue), cores - 1, 1)) - self._launching
        room = self._settings.max_processes - self._places_taken
        wanted = self.queue.to_start(spares)
        for_requests = len(wanted) - spares
        for number, launch in enumerate(wanted[: max(min(at_once, room), 0)]):
            self.queue.starting.append(launch)
            self._launching += 1
            self._places_taken += 1
            self.tasks.start(self._start_one(launch, is_spare=number >= for_requests))
        self._refill.is_due = spares > 0
        if self._places_taken >= self._settings.max_processes:
            self._make_room(spares)

    def _make_room(self, for_spares: int) -> None:
        # A client that waits is worth more than a process that waits for a client. The
        # next conversation is worth more than the one that has rested longest.
        short = len(self.queue) - len(self.queue.starting) - len(self._ending)
        while short + for_spares > 0 and (oldest := self.idle.take_oldest()):
            self.dismiss(oldest)
            short -= 1
        while short > 0 and (spare := self._spares.take_least_useful()):
            self.dismiss(spare)
            short -= 1

    async def _start_one(self, launch: Launch, *, is_spare: bool) -> None:
        session = None
        try:
            session = await self._start(launch)
            if launch == PLAIN and not self.queue:
                await self._make_ready(session)
        except Exception as error:
            ticket = self._undo_start(launch, session, is_spare=is_spare)
            if ticket is not None:
                ticket.session.set_exception(error)
            elif not self.closing:
                detail = getattr(error, "detail", "")
                bug = None if isinstance(error, GatewayError) else error
                self.log.warning("no spare CLI: %s %s", error, detail, exc_info=bug)
        else:
            self.queue.starting.remove(launch)
            self._hand_out(session)
            # It may still be starting, with the request that has it now.
            await session.started()
        finally:
            self._launching -= 1
            self._start_more()

    def _undo_start(
        self, launch: Launch, session: Session | None, *, is_spare: bool
    ) -> Ticket | None:
        """Free the place of a failed start; the ticket that it was for, if any."""
        self.queue.starting.remove(launch)
        if session is not None:
            self.dismiss(session)
        else:
            self._places_taken -= 1
        self._refill.is_due = False
        return None if is_spare else self.queue.take_next(launch)

    def _hand_out(self, session: Session) -> None:
        """Give a session that nobody has to a request, to the spares, or end it."""
        if ticket := self.queue.take_next(session.launch, session):
            self._claimed.add(session)
            ticket.session.set_result(session)
        elif (
            session.launch != PLAIN
            or self.closing
            or self._spares.missing <= 0
            or not session.process.alive
        ):
            self.dismiss(session)
        else:
            self._spares.put(session)

    async def _offer(self, session: Session) -> None:
        """Hand out a session whose request has given up."""
        self._claimed.discard(session)
        # Nothing may have been sent to it yet, so it is not known to work.
        try:
            if session.launch == PLAIN:
                await self._make_ready(session)
        except GatewayError as error:
            self.log.debug("not kept: %r", error)
            self.dismiss(session)
        else:
            self._hand_out(session)

    async def _make_ready(self, session: Session) -> None:
        await session.warm_up()
        setup = self._spares.setup_to_prepare()
        if setup is not None and not self.queue:
            await self._warmup.prepare_ahead(session, setup)

    async def _start(self, launch: Launch) -> Session:
        process = await self._launcher.start(launch)
        session = Session(
            process,
            launch=launch,
            control_timeout_seconds=self._settings.control_timeout_seconds,
            on_lost=self._lost,
        )
        self._sessions.add(session)
        self.tasks.start(self._record())
        if self.closing:
            self.dismiss(session)
        return session

    def _lost(self, session: Session) -> None:
        was_spare = self._spares.discard_dead(session)
        if self.idle.discard(session) or was_spare:
            self.dismiss(session)
            self._refill.is_due = self._refill.is_due or was_spare
            self._start_more()

    async def _record(self) -> None:
        if not self.closing:
            await self._launcher.record(
                lambda: [session.process.pid for session in self._sessions]
            )
