"""One request at a time for each session with a transcript."""

from __future__ import annotations

import asyncio
from collections import deque


class SessionLocks:
    """Locks by session id, given in the order in which they were asked for.

    The empty id stands for sessions without a transcript, which need no lock.

    Parameters
    ----------
    max_waiting:
        Maximum number of requests that wait for the same lock.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def is_free(self, session_id: str) -> bool:
        """Whether nobody has the lock."""
        return session_id not in self._waiting

    def lock(self, session_id: str) -> None:
        """Take a lock that is free."""
        if session_id:
            self._waiting[session_id] = deque()

    async def acquire(self, session_id: str, timeout_seconds: float) -> None:
        """Take the lock as soon as it is free.

        Raises
        ------
        TimeoutError
            It did not become free in time, or too many requests wait for it.
        """
        if self.is_free(session_id):
            self.lock(session_id)
            return
        waiting = self._waiting[session_id]
        if sum(not turn.done() for turn in waiting) >= self._max_waiting:
            raise TimeoutError
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await asyncio.wait([turn], timeout=timeout_seconds)
            if not turn.done():
                raise TimeoutError
        except BaseException:
            if turn.done():
                self.release(session_id)
            turn.cancel()
            raise

    def release(self, session_id: str) -> None:
        """Give the lock to the request that has waited longest."""
        waiting = self._waiting.get(session_id)
        if waiting is None:
            return
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[session_id]
