"""What processes there are at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..profile import Launch
from ..turns import Setup

#: What a process is for: `idle` ones stay with their conversation.
Kind = Literal["starting", "spare", "idle", "busy", "ending"]


@dataclass(frozen=True)
class ProcessSnapshot:
    """One process.

    Parameters
    ----------
    pid:
        Its process id.
    kind:
        What it is for.
    launch:
        How it was started.
    setup:
        What its session is bound to; None for nothing.
    unread:
        Number of its messages that wait for the reader of the turn.
    """

    pid: int
    kind: Kind
    launch: Launch
    setup: Setup | None
    unread: int


@dataclass(frozen=True)
class Snapshot:
    """All processes of a manager.

    Parameters
    ----------
    processes:
        Those that run.
    starting:
        Number of processes that are being started, whether they run already or not.
    places_taken:
        Number of processes that count for `CLIManager.max_processes`.
    queue_length:
        Number of requests that wait for a process.
    directory:
        The private directory of the processes; empty before the first start.
    """

    processes: tuple[ProcessSnapshot, ...]
    starting: int
    places_taken: int
    queue_length: int
    directory: str

    def of_kind(self, kind: Kind) -> list[ProcessSnapshot]:
        """The processes of one kind."""
        return [process for process in self.processes if process.kind == kind]

    @property
    def counts(self) -> dict[Kind, int]:
        """The number of processes of each kind."""
        counts: dict[Kind, int] = {"starting": self.starting}
        for kind in ("spare", "idle", "busy"):
            counts[kind] = len(self.of_kind(kind))
        counts["ending"] = self.places_taken - sum(counts.values())
        return counts
