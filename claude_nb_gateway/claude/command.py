"""The CLI's command line and environment. Pure: no process is started here.

Why each flag and variable is there was seen on Claude Code 2.1.330.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from .tools import SERVER

STREAM_JSON = (
    "-p",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
)

# No tools but the client's own, which run there. No settings, CLAUDE.md, MCP servers
# or transcripts of the user's.
# `--tools` comes last: it takes every word that follows it.
PURE_CHAT = (
    "--restricted",
    "--strict-mcp-config",
    "--no-session-persistence",
    "--permission-mode",
    "dontAsk",
    "--allowedTools",
    f"mcp__{SERVER}",
    "--setting-sources",
    "",
    "--tools",
    "",
)

QUIET = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}

FAITHFUL = {
    # A prompt that is too long is the client's to shorten: the CLI would put a
    # summary of its own in the place of the conversation.
    "DISABLE_COMPACT": "1",
    # Every function is offered, and no placeholder for hidden ones beside them.
    "ENABLE_TOOL_SEARCH": "false",
    # A refusal is the answer; the CLI would ask once more in other words.
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    # A stream that breaks is an error; the CLI would ask again from the start,
    # and the client would read the beginning twice.
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
}

#: Variables of the server's that no child may see, as shell patterns.
SECRETS = (
    "JUPYTER*TOKEN*",
    "JUPYTER*PASSWORD*",
    "JUPYTERHUB_*",
    "JPY_*",
    "DATABASE_URL",
    "CLAUDE_GATEWAY_*",
)

# A server that was itself started by Claude Code must not make its children
# believe that they run inside that session.
NESTING = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")


def chat_command(cli: str) -> list[str]:
    """The command of a process that only chats, for any system prompt and model."""
    return [cli, *STREAM_JSON, *PURE_CHAT]


def child_environment(
    inherited: Mapping[str, str],
    *,
    extra: Mapping[str, str],
    max_retries: int,
    secrets: Iterable[str] = SECRETS,
) -> dict[str, str]:
    """The environment of a CLI process: `inherited` less what is not its business.

    `extra` wins over everything, so that an operator can undo any choice here.
    """
    hidden = (*secrets, *NESTING)
    kept = {
        name: value
        for name, value in inherited.items()
        if not any(fnmatchcase(name, pattern) for pattern in hidden)
    }
    retries = {"CLAUDE_CODE_MAX_RETRIES": str(max_retries)}
    return {**kept, **QUIET, **FAITHFUL, **retries, **extra}
