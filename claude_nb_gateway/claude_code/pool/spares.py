"""Sessions that wait for a conversation to begin."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..session import Session
from ..turns import Setup

# Conversations that begin within this time of each other are one burst: for each of
# them a spare would have been of use.
BURST_SECONDS = 2.0
# The number of spares follows the largest burst in this time.
MEMORY_SECONDS = 60.0
# Number of recent conversations whose setups are prepared.
REMEMBERED_SETUPS = 8
# After this number of deaths with no conversation in between, new spares die as well.
MAX_DEATHS = 8


class Spares:
    """The spare sessions, and how many of which kind are worth keeping.

    One of them is *plain*: it is bound to nothing and fits any conversation. The
    others are set up ahead as recent conversations were, since clients repeat their
    setups. That saves a conversation a third of the time to its first token.

    Parameters
    ----------
    minimum, maximum:
        The number of spares while conversations begin now and then, and when they
        begin in bursts. With a minimum of 0 there are none.
    dismiss:
        Called with a session that is removed because it is of no use.
    clock:
        The time in seconds.
    """

    def __init__(
        self,
        minimum: int,
        maximum: int,
        dismiss: Callable[[Session], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._minimum = minimum
        self._maximum = max(minimum, maximum) if minimum else 0
        self._dismiss = dismiss
        self._clock = clock
        self._sessions: list[Session] = []
        self._recent: deque[Setup] = deque(maxlen=REMEMBERED_SETUPS)
        self._demanded = False
        self._deaths = 0
        self._begun: deque[float] = deque()
        self._bursts: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: Session) -> bool:
        return session in self._sessions

    def take(self, setup: Setup | None) -> Session | None:
        """A session for a conversation with `setup`, a prepared one if possible.

        The conversation counts for the number that is `wanted`.
        """
        self._count(setup)
        self._dismiss_useless()
        fitting = [session for session in self._sessions if session.fits(setup)]
        # A prepared one before a plain one.
        fitting.sort(key=lambda session: session.setup is None)
        if not fitting:
            return None
        self._sessions.remove(fitting[0])
        return fitting[0]

    def put(self, session: Session) -> None:
        """Add a spare."""
        self._sessions.append(session)

    def discard_dead(self, session: Session) -> bool:
        """Remove `session`, which has died; returns whether it was here."""
        if session not in self._sessions:
            return False
        self._sessions.remove(session)
        self._deaths += 1
        return True

    def take_least_useful(self) -> Session | None:
        """The spare that is least likely to be of use, None if there is none."""
        prepared = [s for s in self._sessions if s.setup is not None]
        session = next(iter(prepared or self._sessions), None)
        if session is not None:
            self._sessions.remove(session)
        return session

    @property
    def wanted(self) -> int:
        """The number of spares that the recent demand is worth.

        It is 0 if there was no demand, or if spares only die, until the next
        conversation.
        """
        if not self._demanded or self._deaths >= MAX_DEATHS:
            return 0
        self._forget_old()
        largest = max((count for _, count in self._bursts), default=0)
        return min(max(largest, self._minimum), self._maximum)

    @property
    def missing(self) -> int:
        """The number of spares to start."""
        self._dismiss_useless()
        return self.wanted - len(self._sessions)

    def setup_to_prepare(self) -> Setup | None:
        """What to set a new session up with before it is put here.

        None if the session must stay plain: there is no plain spare yet, or no recent
        setup is left to prepare.
        """
        if not any(session.setup is None for session in self._sessions):
            return None
        ready = [s.setup.binding for s in self._sessions if s.setup is not None]
        for setup in list(self._recent)[: self.wanted - 1]:
            if setup.binding not in ready:
                return setup
            ready.remove(setup.binding)
        return None

    def clear(self) -> None:
        """Dismiss all, and forget the demand."""
        self._demanded = False
        self._recent.clear()
        while self._sessions:
            self._dismiss(self._sessions.pop())

    def _dismiss_useless(self) -> None:
        recent = [setup.binding for setup in self._recent]
        for session in list(self._sessions):
            if session.setup is not None and session.setup.binding not in recent:
                self._sessions.remove(session)
                self._dismiss(session)

    def _count(self, setup: Setup | None) -> None:
        now = self._clock()
        self._demanded = True
        self._deaths = 0
        if setup is not None:
            self._recent.appendleft(setup)
        self._begun.append(now)
        while self._begun[0] < now - BURST_SECONDS:
            self._begun.popleft()
        self._bursts.append((now, len(self._begun)))
        self._forget_old()

    def _forget_old(self) -> None:
        since = self._clock() - MEMORY_SECONDS
        while self._bursts and self._bursts[0][0] < since:
            self._bursts.popleft()
