"""The queue of requests that wait for a process."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from ..profile import PLAIN, Launch
from ..session import Session
from ..turns import Setup


@dataclass(eq=False)
class Ticket:
    """A request that waits for a process.

    Parameters
    ----------
    launch:
        How the process must be started.
    setup:
        What the request will set it up with; None if it takes only a new session.
    session:
        Gets the session, or the error, once the ticket has left the queue.
    """

    launch: Launch
    setup: Setup | None = None
    session: asyncio.Future[Session] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Queue:
    """The tickets in the order in which they came, and what is being started.

    `starting` are the launches of processes that no request has got yet.
    """

    def __init__(self) -> None:
        self.starting: list[Launch] = []
        self._tickets: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket in self._tickets

    @property
    def launches(self) -> list[Launch]:
        """The launches that are under way, and those that requests wait for."""
        return [*self.starting, *(ticket.launch for ticket in self._tickets)]

    def join(self, launch: Launch, setup: Setup | None = None) -> Ticket:
        """A new ticket at the end."""
        ticket = Ticket(launch, setup)
        self._tickets.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Remove a ticket: its request waits no longer."""
        self._tickets.remove(ticket)

    def take_next(
        self, launch: Launch, session: Session | None = None
    ) -> Ticket | None:
        """The oldest ticket for such a process, removed; None if there is none.

        Tickets whose setup does not fit `session` are passed over.
        """
        for ticket in self._tickets:
            fits = session is None or session.fits(ticket.setup)
            if ticket.launch == launch and fits:
                self._tickets.remove(ticket)
                return ticket
        return None

    def is_served(self, ticket: Ticket) -> bool:
        """Whether one of the processes that are starting will be for this ticket."""
        alike = [other for other in self._tickets if other.launch == ticket.launch]
        return alike.index(ticket) < self.starting.count(ticket.launch)

    def to_start(self, spares: int) -> list[Launch]:
        """What must still be started: for the tickets, then `spares` plain ones."""
        wanted = [ticket.launch for ticket in self._tickets] + [PLAIN] * spares
        for launch in self.starting:
            if launch in wanted:
                wanted.remove(launch)
        return wanted

    def refuse_all(self, error: Exception) -> None:
        """Remove all tickets; their requests get `error`."""
        while self._tickets:
            self._tickets.popleft().session.set_exception(error)
