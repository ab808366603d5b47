"""What a CLI process is bound to from its start. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Where processes run, and what Claude may do there.

    Parameters
    ----------
    directory:
        The absolute path of a project's directory; empty for chat without tools.
    place:
        ``DEV:INO`` of the directory, which a process must find itself in.
    trusted:
        Whether the directory's own settings take effect: its hooks, servers,
        environment and key helpers, which are code.
    memory:
        Whether a directory that is not trusted may still say its CLAUDE.md.
    personal:
        Whether what the user has in Claude Code holds: settings, agents, skills, and in
        a trusted directory servers. Else only what the settings forbid does.
    user_memory:
        Whether the user's own CLAUDE.md and rules are read, and the CLI's memory of
        the directory is read and written.
    permission_mode:
        The CLI's; what needs leave in it is denied, since nobody is asked.
    tools:
        The built-in tools there are.
    allowed:
        Rules for what needs no leave, in the CLI's words: ``Bash(git log:*)``.
    """

    directory: str = ""
    place: str = "-"
    trusted: bool = False
    memory: bool = True
    personal: bool = False
    user_memory: bool = False
    permission_mode: str = "dontAsk"
    tools: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @property
    def has_servers(self) -> bool:
        """Whether there are MCP servers beside the client: the user's, the folder's."""
        return self.trusted and self.personal


#: A chat without a project: nothing to abuse.
CHAT = Profile()


@dataclass(frozen=True)
class Launch:
    """How a process is started.

    Parameters
    ----------
    session_id:
        The id of the CLI session, which then has a transcript; empty for a
        conversation that leaves none.
    resumed:
        Whether there is a transcript already, to go on from.
    model, effort:
        What its first turn runs with, where that is known: a change afterwards would
        leave a note in a conversation that is resumed.
    """

    profile: Profile = CHAT
    session_id: str = ""
    resumed: bool = False
    model: str | None = None
    effort: str | None = None


#: A process that fits any chat and leaves no trace.
PLAIN = Launch()
