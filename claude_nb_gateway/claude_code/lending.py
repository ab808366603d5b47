"""Which session a turn gets, and what becomes of the session afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, replace
from typing import Protocol

from .. import metrics
from ..errors import InvalidRequest, SessionBusy, ShuttingDown, quoted
from . import locations
from .models import ModelCatalog
from .pool.locks import SessionLocks
from .pool.pool import PoolSettings, ProcessPool
from .pool.warmup import Warmup
from .profile import CHAT, PLAIN, Launch
from .session import Session
from .session_state import SessionState
from .transcripts import Transcripts
from .turns import Conversation, Setup


@dataclass
class Lease:
    """A session that a caller has for one turn.

    Parameters
    ----------
    session:
        The session.
    turns_held:
        Number of turns of the conversation's history that it has already.
    position:
        Set by the caller if the session can be asked again: the digest of the
        conversation that it then holds. By it the next turn finds the session.
    stop_wanted:
        Whether the turn was stopped before the session was found.
    """

    session: Session
    turns_held: int = 0
    position: bytes | None = None
    stop_wanted: bool = False


class LendingSettings(PoolSettings, Protocol):
    """How long sessions are kept and waited for: traits of `CLIManager`."""

    @property
    def session_idle_timeout_seconds(self) -> float:
        """Time that a session is kept for its next turn."""

    @property
    def tool_result_timeout_seconds(self) -> float:
        """Time that a session is kept for the results of its calls."""

    @property
    def session_wait_seconds(self) -> float:
        """Maximum time to wait for the turn of another request."""

    @property
    def transcripts(self) -> Transcripts:
        """The transcripts of all sessions."""


class Lender:
    """Lends sessions to turns, one turn at a time for each session."""

    def __init__(
        self,
        settings: LendingSettings,
        pool: ProcessPool,
        models: ModelCatalog,
        warmup: Warmup,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._models = models
        self._warmup = warmup
        self._locks = SessionLocks(settings.max_queue_length)
        # The sessions that are being found for a turn, and whether that was stopped.
        self._preparing: dict[str, bool] = {}

    @contextlib.asynccontextmanager
    async def acquire(
        self, conversation: Conversation, *, disposable: bool = False
    ) -> AsyncIterator[Lease]:
        """Lend a session in which the question of `conversation` can be asked now.

        It is the session that the conversation names; else the one that is at the
        latest turn of its history; else a spare or a new one. What of the history the
        session does not have is seeded. At the end the session is kept if the lease has
        a position. If not, it is interrupted and ended in the background.

        Parameters
        ----------
        disposable:
            Whether the session must be a new one that leaves no transcript.

        Raises
        ------
        SessionBusy
            Another turn of the session did not end within `session_wait_seconds`.
        InvalidRequest
            Its transcript is gone, or it does not wait for these results of calls.
        TooBusy, CLINotFound, ShuttingDown
            See `ProcessPool.claim`.
        GatewayError
            Also others, if the session cannot be set up.
        """
        if disposable:
            found = await self._fresh(conversation.setup)
        else:
            found = await self._find(conversation)
        async with self._returned(found) as lease:
            if self._pool.closing:
                raise ShuttingDown
            if lease.stop_wanted:
                await lease.session.stop()
            setup, limit = conversation.setup, conversation.max_output_tokens
            await self._warmup.prepare(lease.session, setup, limit)
            await lease.session.seed(conversation.history[lease.turns_held :])
            yield lease

    @contextlib.asynccontextmanager
    async def new_session(self) -> AsyncIterator[Session]:
        """Lend a session that is bound to nothing; it is ended afterwards."""
        lease = Lease(await self._pool.claim(PLAIN, None))
        async with self._returned(lease):
            yield lease.session

    async def interrupt(self, session_id: str) -> bool:
        """Stop the turn of the session; returns whether there was one.

        Its request is answered with what the model has said so far. That is nothing if
        the turn was still being prepared.
        """
        if session_id in self._preparing:
            self._preparing[session_id] = True
            return True
        for session in self._pool.claimed:
            if session.launch.session_id == session_id:
                await session.stop()
                return True
        return await self.release(session_id)

    @contextlib.asynccontextmanager
    async def resting(self, session_id: str) -> AsyncIterator[None]:
        """Keep the session without a process and without a turn for a while.

        Raises
        ------
        SessionBusy
            A turn of it runs.
        """
        if not self._locks.is_free(session_id):
            raise SessionBusy(session_id)
        self._locks.lock(session_id)
        try:
            await self.release(session_id)
            await self._all_ended(session_id)
            yield
        finally:
            self._locks.release(session_id)

    async def release(self, session_id: str) -> bool:
        """End the session's idle process; returns whether there was one."""
        session = self._pool.claim_named(session_id)
        if session is not None:
            await self._pool.retire(session)
        return session is not None

    async def release_directory(self, directory: str) -> None:
        """End all idle processes that run in `directory`."""
        found = self._pool.idle.take_where(
            lambda session: session.launch.profile.directory == directory
        )
        await asyncio.gather(*map(self._pool.retire, found))

    def is_busy_in(self, directory: str) -> bool:
        """Whether a turn runs or waits in `directory`."""
        claimed = [session.launch for session in self._pool.claimed]
        launches = [*self._pool.queue.launches, *claimed]
        return any(launch.profile.directory == directory for launch in launches)

    async def _find(self, conversation: Conversation) -> Lease:
        """A session for `conversation`, with the lock of its id."""
        session_id = conversation.session_id
        if session_id:
            await self._lock(session_id)
            return await self._found_by(self._named(conversation), session_id)
        found = self._pool.claim_idle(conversation.held_by(), self._can_go_on)
        if found is None:
            return await self._fresh(conversation.setup, recorded=True)
        index, live = found
        session_id = live.launch.session_id
        self._locks.lock(session_id)
        continued = self._continued(conversation, live, turns_held=index + 1)
        return await self._found_by(continued, session_id)

    async def _lock(self, session_id: str) -> None:
        try:
            await self._locks.acquire(session_id, self._settings.session_wait_seconds)
        except TimeoutError:
            raise SessionBusy(session_id) from None

    async def _found_by(self, finding: Awaitable[Lease], session_id: str) -> Lease:
        """The result of `finding`; meanwhile `interrupt` can stop the turn.

        If that fails, the lock of the session is released.
        """
        self._preparing[session_id] = False
        try:
            lease = await finding
        except BaseException:
            self._locks.release(session_id)
            raise
        finally:
            stop_wanted = self._preparing.pop(session_id, False)
        lease.stop_wanted = stop_wanted
        return lease

    def _can_go_on(self, session: Session) -> bool:
        session_id = session.launch.session_id
        # Without a transcript there is no way back to what was asked.
        astray = session.had_unasked_turn and not session_id
        return not astray and self._locks.is_free(session_id)

    async def _named(self, conversation: Conversation) -> Lease:
        """The session that the conversation names, live or from its transcript."""
        setup, session_id = conversation.setup, conversation.session_id
        everything = len(conversation.history)
        live = self._pool.claim_named(session_id)
        if live is not None and await self._keep_or_end(live, conversation):
            return Lease(live, everything)
        await self._all_ended(session_id)
        if conversation.results:
            raise _not_awaited()
        last = await self._last_message(setup, session_id)
        if last is None and conversation.begun:
            raise _transcript_gone(session_id)
        return Lease(await self._resume(setup, session_id, last), everything)

    async def _continued(
        self, conversation: Conversation, live: Session, turns_held: int
    ) -> Lease:
        """`live` if it serves the conversation, or one that reads its transcript.

        If there is no transcript, a fresh one that holds nothing: it has a lock of its
        own, and that of `live` is released.
        """
        if await self._keep_or_end(live, conversation):
            return Lease(live, turns_held)
        setup, session_id = conversation.setup, live.launch.session_id
        last = await self._last_message(setup, session_id) if session_id else None
        if last is not None:
            return Lease(await self._resume(setup, session_id, last), turns_held)
        lease = await self._fresh(setup, recorded=True)
        self._locks.release(session_id)
        return lease

    async def _keep_or_end(self, live: Session, conversation: Conversation) -> bool:
        """End `live` unless it serves the conversation; returns whether it does."""
        try:
            if await self._serves(live, conversation):
                metrics.SESSIONS.labels("live").inc()
                return True
        except BaseException:
            self._pool.dismiss(live)
            raise
        await self._pool.retire(live)
        return False

    async def _all_ended(self, session_id: str) -> None:
        """Wait for processes of the session that are ending: they may still write."""
        for session in self._pool.sessions(session_id):
            await self._pool.close(session)

    async def _serves(self, session: Session, conversation: Conversation) -> bool:
        awaited = session.calls.awaited
        # A parked session takes the results that it waits for. Another one gets results
        # with the calls of the history, unless it is named: that one is not seeded.
        seeded = not awaited and not conversation.session_id
        return (
            session.fits(conversation.setup)
            and (seeded or awaited == conversation.results)
            and not await self._is_outdated(session)
        )

    async def _is_outdated(self, session: Session) -> bool:
        """Whether the transcript has messages that the session's process has not."""
        if session.had_unasked_turn:
            return True
        if session.state is SessionState.PARKED or not session.launch.session_id:
            return False  # there is no transcript, or the turn that waits needs none
        last = await self._last_message(session.launch, session.launch.session_id)
        return not session.knows(last or "")

    async def _last_message(self, of: Setup | Launch, session_id: str) -> str | None:
        """The id of the transcript's last message, None without a transcript."""
        directory = of.profile.directory
        if not directory:
            directory = await asyncio.to_thread(locations.sessions_directory)
        transcripts = self._settings.transcripts
        return await asyncio.to_thread(transcripts.tail, directory, session_id)

    async def _fresh(self, setup: Setup, *, recorded: bool = False) -> Lease:
        """A session that holds nothing, with the lock of its id."""
        launch = PLAIN if setup.profile == CHAT else Launch(setup.profile)
        if recorded and launch != PLAIN:
            # A conversation in a project is a session of that directory like any other.
            launch = replace(launch, session_id=str(uuid.uuid4()))
        session = await self._pool.claim(launch, setup)
        self._locks.lock(launch.session_id)
        return Lease(session)

    async def _resume(self, setup: Setup, session_id: str, last: str | None) -> Session:
        """A session that goes on after the message `last`; a new one after None."""
        launch = Launch(
            setup.profile,
            session_id,
            resumed=last is not None,
            model=self._models.known(setup.model),
            effort=setup.effort,
        )
        session = await self._pool.claim(launch, setup)
        session.remember(last or "")
        return session

    @contextlib.asynccontextmanager
    async def _returned(self, lease: Lease) -> AsyncIterator[Lease]:
        try:
            yield lease
        finally:
            self._take_back(lease)

    def _take_back(self, lease: Lease) -> None:
        session, settings = lease.session, self._settings
        timeout = settings.session_idle_timeout_seconds
        if session.state is SessionState.PARKED:
            timeout = settings.tool_result_timeout_seconds
        useful = session.launch.session_id or not session.had_unasked_turn
        keep = session.at_rest and useful and not self._pool.closing and timeout > 0
        if lease.position is not None and keep:
            self._pool.keep(lease.position, session, timeout)
            self._locks.release(session.launch.session_id)
        else:
            self._pool.dismiss(session, then=self._ended)

    def _ended(self, session: Session) -> None:
        # Until then it may still have written to its transcript.
        self._locks.release(session.launch.session_id)


def _not_awaited() -> InvalidRequest:
    return InvalidRequest(
        "`messages`: the session no longer waits for these results of calls. "
        "Send what they say as text.",
        param="messages",
        code="results_not_awaited",
    )


def _transcript_gone(session_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"The transcript of the session {quoted(session_id)} is gone: Claude "
        "Code removes old ones (its setting cleanupPeriodDays). Make a new "
        "session.",
        param="session_id",
        code="session_transcript_missing",
    )
