"""`jupyter claude-gateway login`, `logout` and `status`: of the CLI that is used."""

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

# All other arguments are the CLI's.
_OWN = ("--CLIManager.", "--config=")

#: The exit status of `claude auth status`.
LOGGED_OUT = 1
REMEDY = "Log in with `jupyter claude-gateway login`, or set ANTHROPIC_API_KEY."


class LoginApp(Command):
    """Runs `claude auth login`, or `logout`, in the place of itself, or `status`.

    `command` is one of these three. It finds the CLI, and gives it the environment, as
    a server of the same configuration does: a login that is made here is the one that
    servers use. Arguments go to the CLI, as they are, and the exit status is its own.
    """

    name = "jupyter-claude-gateway-login"
    description = "Log the Claude Code CLI in, as which the gateway asks the model."
    classes = [CLIManager]

    def __init__(self, command: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._command = command
        self._arguments: list[str] = []

    def parse_command_line(self, argv: Sequence[str] | None = None) -> None:
        """Keep for the CLI what is not a trait of ours."""
        given = list(sys.argv[2:] if argv is None else argv)
        own = [word for word in given if word.startswith(_OWN)]
        self._arguments = [word for word in given if word not in own]
        super().parse_command_line(own)

    def start(self) -> None:
        """Become the CLI, or run its `status`; on trouble say what it is and exit."""
        super().start()
        manager = CLIManager(parent=self)
        try:
            cli = manager.find_cli()
        except CLINotFound as error:
            print(f"{error.message} ({error.detail})", file=sys.stderr)
            self.exit(1)
        # The settings of a directory are code, which nobody has asked for here.
        os.chdir(Path.home())
        sys.stdout.flush()
        words = [cli, "auth", self._command, *self._arguments]
        if self._command == "status":
            self.exit(_told_status(words, manager.environment()))
        os.execve(cli, words, manager.environment())  # noqa: S606 - no shell is meant


def _told_status(words: Sequence[str], environment: dict[str, str]) -> int:
    """Run the CLI's `status`; returns its exit status, as a shell would.

    The CLI names a command to log in by that is on no PATH; ours is named after it.
    """
    ended = subprocess.run(words, env=environment, check=False).returncode  # noqa: S603 - our own words
    if ended == LOGGED_OUT:
        print(REMEDY, file=sys.stderr)
    return ended if ended >= 0 else 128 - ended
