"""When spare processes are replaced, and when they are given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Starting spares slows down conversations that begin. So spares start when none has
# begun for LULL_SECONDS, at the latest after REFILL_AFTER_SECONDS.
LULL_SECONDS = 0.25
REFILL_AFTER_SECONDS = 2.0


class Refill:
    """Two timers, which a conversation that begins sets anew.

    Parameters
    ----------
    start:
        Called when spares can be started; `is_due` is true then.
    cull:
        Called when no conversation has begun for long.
    """

    def __init__(self, start: Callable[[], None], cull: Callable[[], None]) -> None:
        self.is_due = False
        self._start = start
        self._cull = cull
        self._refill_timer: asyncio.TimerHandle | None = None
        self._refill_by = 0.0
        self._cull_timer: asyncio.TimerHandle | None = None

    def conversation_begins(self, cull_after_seconds: float) -> None:
        """Set both timers."""
        loop = asyncio.get_running_loop()
        if self._cull_timer is not None:
            self._cull_timer.cancel()
        self._cull_timer = loop.call_later(cull_after_seconds, self._cull)
        if self._refill_timer is None:
            self._refill_by = loop.time() + REFILL_AFTER_SECONDS
        else:
            self._refill_timer.cancel()
        at = min(loop.time() + LULL_SECONDS, self._refill_by)
        self._refill_timer = loop.call_at(at, self._refill)

    def stop(self) -> None:
        """Stop both timers."""
        for timer in (self._cull_timer, self._refill_timer):
            if timer is not None:
                timer.cancel()

    def _refill(self) -> None:
        self._refill_timer = None
        self.is_due = True
        self._start()
