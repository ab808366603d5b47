"""The line of those who wait for a process to be started."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from ..profile import PLAIN, Launch
from ..session import Session
from ..turns import Setup


@dataclass(eq=False)
class Place:
    """A place of one who waits for a process that is started as `launch` says.

    It is to be initialized for `setup`, if it is already.
    """

    launch: Launch
    setup: Setup | None = None
    taken_by: asyncio.Future[Session] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Line:
    """Who waits, longest first, and what is being started.

    `starting` are the launches of processes that are not yet with whom they are for.
    """

    def __init__(self) -> None:
        self.starting: list[Launch] = []
        self._places: deque[Place] = deque()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, place: Place) -> bool:
        return place in self._places

    @property
    def launches(self) -> list[Launch]:
        """How all are to be started, or are being started."""
        return [*self.starting, *(place.launch for place in self._places)]

    def join(self, launch: Launch, setup: Setup | None = None) -> Place:
        """Wait at the end."""
        place = Place(launch, setup)
        self._places.append(place)
        return place

    def leave(self, place: Place) -> None:
        """Wait no more."""
        self._places.remove(place)

    def take_next(self, launch: Launch, session: Session | None = None) -> Place | None:
        """Who has waited longest for such a process, taken out.

        Those whose setup does not fit `session` are passed over.
        """
        for place in self._places:
            if place.launch == launch and (session is None or _serves(session, place)):
                self._places.remove(place)
                return place
        return None

    def is_served(self, place: Place) -> bool:
        """Whether one of those that are starting will be for this place."""
        alike = [other for other in self._places if other.launch == place.launch]
        return alike.index(place) < self.starting.count(place.launch)

    def to_start(self, spares: int) -> list[Launch]:
        """What is still to be started: for those who wait, then so many spares."""
        wanted = [place.launch for place in self._places] + [PLAIN] * spares
        for launch in self.starting:
            if launch in wanted:
                wanted.remove(launch)
        return wanted

    def refuse_all(self, error: Exception) -> None:
        """Send everybody away."""
        while self._places:
            self._places.popleft().taken_by.set_exception(error)


def _serves(session: Session, place: Place) -> bool:
    if session.setup is None:
        return True
    return place.setup is not None and session.fits(place.setup)
