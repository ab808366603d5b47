"""The line of those who wait for a process to be started."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from .profile import PLAIN, Boot
from .session import Session


@dataclass(eq=False)
class Place:
    """A place of one who waits for a process that is started as `boot` says."""

    boot: Boot
    taken_by: asyncio.Future[Session] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Line:
    """Who waits, longest first, and what is being started.

    `starting` are the boots of processes that are not yet with whom they are for.
    """

    def __init__(self) -> None:
        self.starting: list[Boot] = []
        self._places: deque[Place] = deque()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, place: Place) -> bool:
        return place in self._places

    @property
    def boots(self) -> list[Boot]:
        """How all are to be started, or are being started."""
        return [*self.starting, *(place.boot for place in self._places)]

    def join(self, boot: Boot) -> Place:
        """Wait at the end."""
        place = Place(boot)
        self._places.append(place)
        return place

    def leave(self, place: Place) -> None:
        """Wait no more."""
        self._places.remove(place)

    def take_next(self, boot: Boot) -> Place | None:
        """Who has waited longest for a process like this one, taken out."""
        for place in self._places:
            if place.boot == boot:
                self._places.remove(place)
                return place
        return None

    def is_served(self, place: Place) -> bool:
        """Whether one of those that are starting will be for this place."""
        alike = [other for other in self._places if other.boot == place.boot]
        return alike.index(place) < self.starting.count(place.boot)

    def to_start(self, spares: int) -> list[Boot]:
        """What is still to be started: for those who wait, then so many spares."""
        wanted = [place.boot for place in self._places] + [PLAIN] * spares
        for boot in self.starting:
            if boot in wanted:
                wanted.remove(boot)
        return wanted

    def refuse_all(self, error: Exception) -> None:
        """Send everybody away."""
        while self._places:
            self._places.popleft().taken_by.set_exception(error)
