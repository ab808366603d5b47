"""Stands for a session where only its setup matters."""

from __future__ import annotations

from dataclasses import dataclass

from claude_nb_gateway.claude_code.profile import PLAIN, Launch
from claude_nb_gateway.claude_code.turns import Setup


@dataclass(eq=False)
class Waiting:
    """What queues and shelves of sessions look at."""

    setup: Setup | None = None
    launch: Launch = PLAIN

    def fits(self, setup):
        return self.setup is None or self.setup == setup
