"""The line of those who wait for a process to be started."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from ..profile import PLAIN, Boot
from ..session import Session
from ..turns import Opening


@dataclass(eq=False)
class Place:
    """A place of one who waits for a process that is started as `boot` says.

    It is to be initialized for `opening`, if it is already.
    """

    boot: Boot
    opening: Opening | None = None
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

    def join(self, boot: Boot, opening: Opening | None = None) -> Place:
        """Wait at the end."""
        place = Place(boot, opening)
        self._places.append(place)
        return place

    def leave(self, place: Place) -> None:
        """Wait no more."""
        self._places.remove(place)

    def take_next(self, boot: Boot, session: Session | None = None) -> Place | None:
        """Who has waited longest for such a process, taken out.

        Those whose opening does not fit `session` are passed over.
        """
        for place in self._places:
            if place.boot == boot and (session is None or _serves(session, place)):
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


def _serves(session: Session, place: Place) -> bool:
    if session.opening is None:
        return True
    return place.opening is not None and session.fits(place.opening)
