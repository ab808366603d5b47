"""One writer at a time for each transcript."""

from __future__ import annotations

import asyncio
from collections import deque


class Writers:
    """Who may write to which session: one at a time, in the order of asking.

    No more than `most` wait for the same one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    def free(self, session_id: str) -> bool:
        """Whether nobody writes to the session; there is none without an id."""
        return session_id not in self._lines

    def begin(self, session_id: str) -> None:
        """Write to a session that is free."""
        if session_id:
            self._lines[session_id] = deque()

    async def wait(self, session_id: str, timeout_seconds: float) -> None:
        """Write to the session as soon as it is free.

        Raises
        ------
        TimeoutError
            It did not become free in time, or too many wait for it.
        """
        if self.free(session_id):
            self.begin(session_id)
            return
        if sum(not turn.done() for turn in self._lines[session_id]) >= self._most:
            raise TimeoutError
        turn = asyncio.get_running_loop().create_future()
        self._lines[session_id].append(turn)
        try:
            await asyncio.wait([turn], timeout=timeout_seconds)
            if not turn.done():
                raise TimeoutError
        except BaseException:
            if turn.done():
                self.end(session_id)
            turn.cancel()
            raise

    def end(self, session_id: str) -> None:
        """Write no more; who has waited longest is next."""
        line = self._lines.get(session_id)
        if line is None:
            return
        while line:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._lines[session_id]
