"""Sessions that wait for the next turn of their conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..session import Session


@dataclass
class _Waiting:
    session: Session
    position: bytes
    timer: asyncio.TimerHandle


class IdleSessions:
    """Sessions by the position of their conversation, a digest.

    Taking a session removes it, so that no two requests continue the same one.

    Parameters
    ----------
    dismiss:
        Called with a session that nobody took in time.
    """

    def __init__(self, dismiss: Callable[[Session], None]) -> None:
        self._dismiss = dismiss
        self._waiting: list[_Waiting] = []  # least recently used first

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, session: Session) -> bool:
        return any(waiting.session is session for waiting in self._waiting)

    def put(self, position: bytes, session: Session, timeout_seconds: float) -> None:
        """Keep `session`, whose conversation is at `position`, for that time."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_seconds, self._expire, session)
        self._waiting.append(_Waiting(session, position, timer))

    def take(
        self, digests: Iterable[bytes], accepts: Callable[[Session], bool]
    ) -> tuple[int, Session] | None:
        """The session whose position comes last in `digests`, and its index there.

        Only sessions that `accepts` returns true for are taken.
        """
        index_of = {digest: index for index, digest in enumerate(digests)}
        found = [
            waiting
            for waiting in self._waiting
            if waiting.position in index_of and accepts(waiting.session)
        ]
        if not found:
            return None
        waiting = max(found, key=lambda waiting: index_of[waiting.position])
        self._remove(waiting)
        return index_of[waiting.position], waiting.session

    def take_named(self, session_id: str) -> Session | None:
        """The session with the transcript `session_id`, at any position."""
        for waiting in self._waiting:
            if waiting.session.launch.session_id == session_id:
                self._remove(waiting)
                return waiting.session
        return None

    def take_where(self, wanted: Callable[[Session], bool]) -> list[Session]:
        """All sessions that `wanted` returns true for."""
        found = [waiting for waiting in self._waiting if wanted(waiting.session)]
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
        """Remove `session`; returns whether it was here."""
        return bool(self.take_where(lambda other: other is session))

    def _remove(self, waiting: _Waiting) -> None:
        waiting.timer.cancel()
        self._waiting.remove(waiting)

    def _expire(self, session: Session) -> None:
        if self.discard(session):
            self._dismiss(session)
