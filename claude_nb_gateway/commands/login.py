"""`jupyter claude-gateway login`, `logout` and `status`: about the CLI's account."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..claude_code.manager import CLIManager
from ..errors import CLINotFound
from .base import Command

# All other arguments go to the CLI.
_OWN = ("--CLIManager.", "--config=")

#: The exit status of `claude auth status`.
LOGGED_OUT = 1
REMEDY = "Log in with `jupyter claude-gateway login`, or set ANTHROPIC_API_KEY."


class LoginApp(Command):
    """Runs `claude auth login`, `claude auth logout` or `claude auth status`.

    It finds the CLI and makes its environment as a server with the same configuration
    does, so servers use the login that is made here. Arguments go to the CLI unchanged,
    and the exit status is the CLI's.

    Parameters
    ----------
    command:
        ``login``, ``logout`` or ``status``.
    """

    name = "jupyter-claude-gateway-login"
    description = "Log in the Claude Code CLI, whose account the gateway uses."
    classes = [CLIManager]

    def __init__(self, command: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._command = command
        self._arguments: list[str] = []

    def parse_command_line(self, argv: Sequence[str] | None = None) -> None:
        """Read the gateway's own options, and keep all others for the CLI."""
        given = list(sys.argv[2:] if argv is None else argv)
        own = [word for word in given if word.startswith(_OWN)]
        self._arguments = [word for word in given if word not in own]
        super().parse_command_line(own)

    def start(self) -> None:
        """Become the CLI, or run its `status`; without a CLI say so and exit."""
        super().start()
        manager = CLIManager(parent=self)
        try:
            cli = manager.find_cli()
        except CLINotFound as error:
            print(f"{error.message} ({error.detail})", file=sys.stderr)
            self.exit(1)
        # The settings of a directory are code, and nobody has asked to run it here.
        os.chdir(Path.home())
        sys.stdout.flush()
        words = [cli, "auth", self._command, *self._arguments]
        if self._command == "status":
            self.exit(_told_status(words, manager.environment()))
        os.execve(cli, words, manager.environment())  # noqa: S606 - no shell is meant


def _told_status(words: Sequence[str], environment: dict[str, str]) -> int:
    """Run the CLI's `status`; returns its exit status, as a shell would.

    The CLI advises a command that may be on no PATH, so this adds the gateway's own.
    """
    ended = subprocess.run(words, env=environment, check=False).returncode  # noqa: S603 - our own words
    if ended == LOGGED_OUT:
        print(REMEDY, file=sys.stderr)
    return ended if ended >= 0 else 128 - ended
