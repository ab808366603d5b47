"""Tells the Jupyter server that turns run, so that it is not ended as idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime

#: JupyterHub asks every five minutes, and the server itself every one.
EVERY_SECONDS = 5.0


class Activity:
    """Updates the server's last activity while turns run.

    A request counts as activity only when it has been answered, and a turn may take
    longer than the time after which an idle server is ended.

    Parameters
    ----------
    times:
        The server's `last_activity_times`.
    is_active:
        Whether a turn runs now.
    every_seconds:
        The time between two looks.
    """

    def __init__(
        self,
        times: MutableMapping[str, datetime],
        is_active: Callable[[], bool],
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._times = times
        self._is_active = is_active
        self._every = every_seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, and again and again on the running event loop."""
        if self._is_active():
            self._times["claude_gateway"] = datetime.now(UTC)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._every, self.start)

    def stop(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
