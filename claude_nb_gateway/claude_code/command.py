"""The CLI's command line and environment. Pure: no process is started here.

Why each flag and variable is there was seen on Claude Code 2.1.330 and 2.1.331.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from .guard import AUTO_MEMORY, Guarded, settings_for
from .profile import PLAIN, Launch, Profile
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

# The client's own functions, which run there, need no leave.
CLIENT_TOOLS = ("--allowedTools", f"mcp__{SERVER}")

# No tools but the client's. No settings, CLAUDE.md or MCP servers of the user's.
PURE_CHAT = (
    "--restricted",
    "--strict-mcp-config",
    "--permission-mode",
    "dontAsk",
    "--setting-sources",
    "",
)

# A folder is code: at the start of a process its settings run hooks, start MCP
# servers, redirect requests and call helpers for keys. Overriding those one by one
# leaves some (`apiKeyHelper`, seen); leaving out its settings leaves none, but its
# CLAUDE.md neither, which an additional directory still has. The user's settings
# bring the user's agents, skills, commands, hooks, and leave to do things.
SOURCES = {
    # trusted, personal: whose settings take effect
    (False, False): "",
    (False, True): "user",
    (True, False): "project,local",
    (True, True): "user,project,local",
}
MEMORY = ("--add-dir", ".")
MEMORY_VARIABLE = "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD"
# `--tools` bounds the CLI's own tools alone: those of all servers come beside them.
NO_SERVERS = "--strict-mcp-config"

QUIET = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}

FAITHFUL = {
    # Every function is offered, and no placeholder for hidden ones beside them.
    "ENABLE_TOOL_SEARCH": "false",
    # A refusal is the answer; the CLI would ask once more in other words.
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    # A stream that breaks is an error; the CLI would ask again from the start,
    # and the client would read the beginning twice.
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    # Work in the background ends in a turn that nobody asked for, when the answer has
    # long been sent. Agents and commands are waited for instead.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    # Like the official SDK with partial messages: the arguments of calls come as they
    # are written, not all at their end.
    "CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING": "1",
}

# A prompt that is too long is the client's to shorten: the CLI would put a summary of
# its own in the place of the conversation. A session is the CLI's own.
WHOLE_HISTORY = {"DISABLE_COMPACT": "1"}

# A resumed session would keep the system prompt of its first process.
OWN_PROMPT = {"CLAUDE_CODE_HOST_PROMPT_SUPERSEDES_RECORD": "1"}

#: Variables of the server's that no child may see, as shell patterns. The last one that
#: fits decides; after an exclamation mark it shows what others would hide.
SECRETS = (
    "*TOKEN",
    "*_TOKEN_*",
    "*SECRET*",
    "*PASSWORD*",
    "*PASSWD*",
    "*_PWD",
    "PASS",
    "*_PASS",
    "*_PASSPHRASE",
    "*_PAT",
    "*_KEY",
    "*APIKEY",
    "*CREDENTIAL*",
    "PGPASS*",
    "PGSERVICEFILE",
    "*DATABASE_UR[IL]",
    "*DB_UR[IL]",
    "*POSTGRES*_UR[IL]",
    "*REDIS*_URL",
    "*MONGO*_UR[IL]",
    "*BROKER_URL",
    "*AMQP*_UR[IL]",
    "*RABBITMQ*_UR[IL]",
    "*CONNECTION_STRING*",
    "*CONN_STR*",
    "DSN",
    "*_DSN",
    # How Claude Code reaches its model: itself, Bedrock, Vertex AI, Foundry.
    "!ANTHROPIC_*",
    "!CLAUDE_*",
    "!AWS_*",
    "!GOOGLE_*",
    "!GCLOUD_*",
    "!CLOUD_ML_*",
    "!VERTEX_*",
    "!AZURE_*",
    "AZURE_*CONNECTION_STRING*",
    "!MCP_CLIENT_SECRET",
    "JUPYTER*TOKEN*",
    "JUPYTER*PASSWORD*",
    "JUPYTERHUB_*",
    "JPY_*",
    "CLAUDE_GATEWAY_*",
)

# A server that was itself started by Claude Code must not make its children
# believe that they run inside that session.
NESTING = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")


def command_for(cli: str, launch: Launch, guarded: Guarded | None = None) -> list[str]:
    """The command of a process, for any system prompt and model.

    In a project its tools for files keep out of what is `guarded`.
    """
    profile = launch.profile
    words = [cli, *STREAM_JSON, *_session(launch)]
    for flag, value in (("--model", launch.model), ("--effort", launch.effort)):
        words += [flag, value] if value else []
    if profile.directory:
        words += _project(profile, guarded or Guarded())
    else:
        words += PURE_CHAT
    # These take every word that follows them.
    allowed = [*CLIENT_TOOLS, *profile.allowed]
    return [*words, *allowed, "--tools", ",".join(profile.tools)]


def _session(launch: Launch) -> list[str]:
    if not launch.session_id:
        return ["--no-session-persistence"]
    return ["--resume" if launch.resumed else "--session-id", launch.session_id]


def _project(profile: Profile, guarded: Guarded) -> list[str]:
    words = ["--permission-mode", profile.permission_mode]
    words += ["--settings", json.dumps(settings_for(profile, guarded))]
    words += ["--setting-sources", SOURCES[profile.trusted, profile.personal]]
    if not profile.has_servers:
        words.append(NO_SERVERS)
    if not profile.trusted and profile.memory:
        words += MEMORY
    return words


def variables_for(launch: Launch) -> dict[str, str]:
    """What the environment of such a process has beside that of any other."""
    profile = launch.profile
    variables = dict(OWN_PROMPT if launch.session_id else WHOLE_HISTORY)
    if profile.directory and profile.memory and not profile.trusted:
        variables[MEMORY_VARIABLE] = "1"
    if not profile.user_memory:
        variables[AUTO_MEMORY] = "1"
    return variables


def child_environment(
    inherited: Mapping[str, str],
    *,
    extra: Mapping[str, str],
    max_retries: int,
    secrets: Iterable[str] = SECRETS,
    launch: Launch = PLAIN,
) -> dict[str, str]:
    """The environment of a CLI process: `inherited` less what is not its business.

    `extra` wins over everything, so that an operator can undo any choice here.
    """
    patterns = [pattern.upper() for pattern in (*secrets, *NESTING)]
    kept = {
        name: value
        for name, value in inherited.items()
        if not _is_hidden(name.upper(), patterns)
    }
    retries = {"CLAUDE_CODE_MAX_RETRIES": str(max_retries)}
    own = variables_for(launch)
    return {**kept, **QUIET, **FAITHFUL, **own, **retries, **extra}


def _is_hidden(name: str, patterns: list[str]) -> bool:
    for pattern in reversed(patterns):
        if fnmatchcase(name, pattern.removeprefix("!")):
            return not pattern.startswith("!")
    return False
