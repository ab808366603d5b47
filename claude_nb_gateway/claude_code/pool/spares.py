"""Sessions that wait for a conversation to begin."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..session import Session
from ..turns import Setup

# Conversations that begin within this time of each other are one burst, and so
# many spares would have served them all.
BURST_SECONDS = 2.0
# What the largest burst of this time called for is kept ready.
MEMORY_SECONDS = 60.0
# An setup that none of the last so many conversations had is not awaited.
REMEMBERED_SETUPS = 8
# When so many have died with no conversation in between, the next will die as well.
MOST_DEATHS = 8


class Spares:
    """The spare sessions, and which of them it is worth to have.

    One of them is *plain*: it is bound to nothing and fits any conversation. The
    others are initialized ahead with setups seen of late, since clients repeat
    theirs; that saves their conversations a third of the way to the first token.

    Parameters
    ----------
    least, most:
        How many are kept while conversations begin now and then, and how many
        when they come in bursts. With 0 as the least there are none.
    dismiss:
        Called with a session that is no spare any more and of no use.
    """

    def __init__(
        self,
        least: int,
        most: int,
        dismiss: Callable[[Session], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least = least
        self._most = max(least, most) if least else 0
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

    def take(self, setup: Setup | None) -> Session | None:
        """A session for a conversation with `setup`, initialized if possible.

        Counts the conversation, for how many spares are `wanted`.
        """
        self._count(setup)
        self._dismiss_useless()
        for fitting in (setup, None):
            for session in self._sessions:
                if session.setup == fitting:
                    self._sessions.remove(session)
                    return session
        return None

    def put(self, session: Session) -> None:
        """Add a spare."""
        self._sessions.append(session)

    def discard(self, session: Session) -> bool:
        """Take out `session`, which has died; returns whether it was there."""
        if session not in self._sessions:
            return False
        self._sessions.remove(session)
        self._deaths += 1
        return True

    def take_least(self) -> Session | None:
        """The spare that is least likely to be of use, None if there is none."""
        prepared = [s for s in self._sessions if s.setup is not None]
        least = next(iter(prepared or self._sessions), None)
        if least is not None:
            self._sessions.remove(least)
        return least

    @property
    def wanted(self) -> int:
        """How many spares the demand of late is worth; 0 when there was none.

        Also 0 when they do nothing but die, until the next conversation.
        """
        if not self._demanded or self._deaths >= MOST_DEATHS:
            return 0
        self._forget_old()
        largest = max((count for _, count in self._bursts), default=0)
        return min(max(largest, self._least), self._most)

    @property
    def missing(self) -> int:
        """How many spares to start."""
        self._dismiss_useless()
        return self.wanted - len(self._sessions)

    def setup_to_prepare(self) -> Setup | None:
        """What to initialize a plain session with before it is put.

        None: it shall stay plain, because no other is or nothing is known.
        """
        if not any(session.setup is None for session in self._sessions):
            return None
        ready = [session.setup for session in self._sessions]
        awaited = list(self._recent)[: self.wanted - 1]
        for setup in awaited:
            if setup not in ready:
                return setup
            ready.remove(setup)
        return None

    def clear(self) -> None:
        """Dismiss all, and forget the demand."""
        self._demanded = False
        self._recent.clear()
        while self._sessions:
            self._dismiss(self._sessions.pop())

    def _dismiss_useless(self) -> None:
        awaited = {None, *self._recent}
        for session in list(self._sessions):
            if session.setup not in awaited:
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
