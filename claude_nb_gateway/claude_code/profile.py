"""What is fixed for a CLI process when it starts. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Where processes run, and what Claude may do there.

    Parameters
    ----------
    directory:
        The absolute path of a project's directory; empty for chat without tools.
    directory_id:
        ``DEV:INO`` of the directory: a process ends if it starts in another one.
    trusted:
        Whether the directory's own settings take effect: its hooks, servers,
        environment and key helpers, which are code.
    memory:
        Whether the CLAUDE.md of an untrusted directory is still read.
    personal:
        Whether the user's Claude Code configuration takes effect: settings, agents,
        skills, and, in a trusted directory, servers. Otherwise only the prohibitions
        in the settings take effect.
    user_memory:
        Whether the user's own CLAUDE.md and rules are read, and the CLI's memory of
        the directory is read and written.
    permission_mode:
        The CLI's permission mode. A tool that needs a permission in this mode is
        denied, because nobody can grant it.
    tools:
        The built-in tools that are available.
    allowed:
        The CLI's rules for tools that need no permission: ``Bash(git log:*)``.
    """

    directory: str = ""
    directory_id: str = "-"
    trusted: bool = False
    memory: bool = True
    personal: bool = False
    user_memory: bool = False
    permission_mode: str = "dontAsk"
    tools: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @property
    def has_servers(self) -> bool:
        """Whether the user's and the folder's MCP servers are available."""
        return self.trusted and self.personal


#: A chat without a project: it has only the client's tools, so nothing to abuse.
CHAT = Profile()


@dataclass(frozen=True)
class Launch:
    """How a process is started.

    Parameters
    ----------
    session_id:
        The id of the CLI session, which has a transcript; empty for a conversation
        without a transcript.
    resumed:
        Whether the process continues an existing transcript.
    model, effort:
        The model and the effort of the first turn, if they are known. A change after
        the start would leave a note in a resumed conversation.
    """

    profile: Profile = CHAT
    session_id: str = ""
    resumed: bool = False
    model: str | None = None
    effort: str | None = None


#: A process for any chat, without a transcript.
PLAIN = Launch()
