"""Tells the Jupyter server that turns run, for who ends servers that do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime

#: JupyterHub asks every five minutes, and the server itself every one.
EVERY_SECONDS = 5.0


class Activity:
    """Moves an entry of the server's `last_activity_times` while it `is_active`.

    A request moves the server's last activity only when it has been answered, and a
    turn may take longer than an idle server is given.
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
        """Look now and then, on the running event loop."""
        if self._is_active():
            self._times["claude_gateway"] = datetime.now(UTC)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._every, self.start)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
