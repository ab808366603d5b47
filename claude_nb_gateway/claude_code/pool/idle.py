"""Sessions that wait for their conversation to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..session import Session


@dataclass
class _Waiting:
    session: Session
    digest: bytes
    timer: asyncio.TimerHandle


class IdleSessions:
    """A map from where a conversation stands to a session that stands there.

    Taking a session removes it, so that no two requests continue the same one.

    Parameters
    ----------
    dismiss:
        Called with a session that nobody came for in time.
    """

    def __init__(self, dismiss: Callable[[Session], None]) -> None:
        self._dismiss = dismiss
        self._waiting: list[_Waiting] = []  # least recently used first

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, digest: bytes, session: Session, timeout_seconds: float) -> None:
        """Keep `session`, whose conversation stands at `digest`, for so long."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_seconds, self._expire, session)
        self._waiting.append(_Waiting(session, digest, timer))

    def take(
        self,
        digests: Iterable[bytes],
        free: Callable[[Session], bool] = lambda session: True,
    ) -> tuple[int, Session] | None:
        """A session at the last of `digests` that any stands at, and its index.

        Only those count that are `free`.
        """
        wanted = {digest: index for index, digest in enumerate(digests)}
        found = [w for w in self._waiting if w.digest in wanted and free(w.session)]
        if not found:
            return None
        waiting = max(found, key=lambda w: wanted[w.digest])
        self._remove(waiting)
        return wanted[waiting.digest], waiting.session

    def take_named(self, session_id: str) -> Session | None:
        """The session with the transcript `session_id`, wherever it stands."""
        for waiting in self._waiting:
            if waiting.session.launch.session_id == session_id:
                self._remove(waiting)
                return waiting.session
        return None

    def take_where(self, unwanted: Callable[[Session], bool]) -> list[Session]:
        """All sessions that are `unwanted`."""
        found = [w for w in self._waiting if unwanted(w.session)]
        for waiting in found:
            self._remove(waiting)
        return [waiting.session for waiting in found]

    def take_oldest(self) -> Session | None:
        """The session least recently used, None if there is none."""
        if not self._waiting:
            return None
        waiting = self._waiting[0]
        self._remove(waiting)
        return waiting.session

    def discard(self, session: Session) -> bool:
        """Take `session` out; returns whether it was there."""
        for waiting in self._waiting:
            if waiting.session is session:
                self._remove(waiting)
                return True
        return False

    def _remove(self, waiting: _Waiting) -> None:
        waiting.timer.cancel()
        self._waiting.remove(waiting)

    def _expire(self, session: Session) -> None:
        if self.discard(session):
            self._dismiss(session)
