"""The CLI's command line and environment. Pure: this module starts no process.

The reasons for the flags and variables were observed on Claude Code 2.1.330 and
2.1.331.
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

# The client's functions need no permission: they run on the client's side.
CLIENT_TOOLS = ("--allowedTools", f"mcp__{SERVER}")

# Only the client's tools. No settings, CLAUDE.md or MCP servers of the user.
CHAT_FLAGS = (
    "--restricted",
    "--strict-mcp-config",
    "--permission-mode",
    "dontAsk",
    "--setting-sources",
    "",
)

# A folder is code: when a process starts, the folder's settings run hooks, start MCP
# servers, redirect requests and call helpers for keys. Overriding these one by one
# misses some (observed: `apiKeyHelper`). Leaving out the folder's settings disables
# all of them, but also its CLAUDE.md. An additional directory still has its CLAUDE.md.
# The user's settings add the user's agents, skills, commands, hooks and permissions.
SETTING_SOURCES = {
    # (trusted, personal): the settings that take effect
    (False, False): "",
    (False, True): "user",
    (True, False): "project,local",
    (True, True): "user,project,local",
}
MEMORY_FLAGS = ("--add-dir", ".")
MEMORY_VARIABLE = "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD"
# `--tools` limits only the CLI's own tools, not the tools of MCP servers.
NO_SERVERS = "--strict-mcp-config"

NO_EXTRA_TRAFFIC = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}

PASS_THROUGH = {
    # The model sees every function, and no placeholder for hidden functions.
    "ENABLE_TOOL_SEARCH": "false",
    # A refusal is the answer. Otherwise the CLI rewords the request and sends it again.
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    # A broken stream is an error. Otherwise the CLI sends the request again, and the
    # client reads the beginning of the answer twice.
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    # A background task ends in a turn that no request started, long after the answer
    # was sent. Without background tasks, the turn waits for agents and commands.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    # The official SDK does the same for partial messages: the arguments of calls
    # arrive in fragments while the model writes them, not all at the end.
    "CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING": "1",
}

# The client must shorten a prompt that is too long. Otherwise the CLI replaces the
# conversation by its own summary. A session belongs to the CLI, so there it may.
NO_COMPACTION = {"DISABLE_COMPACT": "1"}

# Otherwise a resumed session keeps the system prompt of its first process.
NEW_SYSTEM_PROMPT = {"CLAUDE_CODE_HOST_PROMPT_SUPERSEDES_RECORD": "1"}

#: Variables of the server that no child may see, as shell patterns. The last pattern
#: that matches decides; a leading exclamation mark makes the variable visible.
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
    # Claude Code needs these for its model: for itself, Bedrock, Vertex AI, Foundry.
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

# If Claude Code started this server, these variables are set. With them the children
# would assume that they run inside that session.
NESTING = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")


def command_for(cli: str, launch: Launch, guarded: Guarded | None = None) -> list[str]:
    """The command of a process, for any system prompt and model.

    In a project, the tools for files have no access to the `guarded` paths.
    """
    profile = launch.profile
    words = [cli, *STREAM_JSON, *_session(launch)]
    for flag, value in (("--model", launch.model), ("--effort", launch.effort)):
        words += [flag, value] if value else []
    if profile.directory:
        words += _project(profile, guarded or Guarded())
    else:
        words += CHAT_FLAGS
    # These flags take all words up to the next flag, so they come last.
    allowed = [*CLIENT_TOOLS, *profile.allowed]
    return [*words, *allowed, "--tools", ",".join(profile.tools)]


def _session(launch: Launch) -> list[str]:
    if not launch.session_id:
        return ["--no-session-persistence"]
    return ["--resume" if launch.resumed else "--session-id", launch.session_id]


def _project(profile: Profile, guarded: Guarded) -> list[str]:
    words = ["--permission-mode", profile.permission_mode]
    words += ["--settings", json.dumps(settings_for(profile, guarded))]
    words += ["--setting-sources", SETTING_SOURCES[profile.trusted, profile.personal]]
    if not profile.has_servers:
        words.append(NO_SERVERS)
    if not profile.trusted and profile.memory:
        words += MEMORY_FLAGS
    return words


def variables_for(launch: Launch) -> dict[str, str]:
    """The variables that only processes with this `launch` need."""
    profile = launch.profile
    variables = dict(NEW_SYSTEM_PROMPT if launch.session_id else NO_COMPACTION)
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
    """The environment of a CLI process: `inherited` without `secrets`, plus our own.

    `extra` overrides everything, so that an operator can undo any choice here.
    """
    patterns = [pattern.upper() for pattern in (*secrets, *NESTING)]
    kept = {
        name: value
        for name, value in inherited.items()
        if not _is_hidden(name.upper(), patterns)
    }
    retries = {"CLAUDE_CODE_MAX_RETRIES": str(max_retries)}
    own = variables_for(launch)
    return {**kept, **NO_EXTRA_TRAFFIC, **PASS_THROUGH, **own, **retries, **extra}


def _is_hidden(name: str, patterns: list[str]) -> bool:
    for pattern in reversed(patterns):
        if fnmatchcase(name, pattern.removeprefix("!")):
            return not pattern.startswith("!")
    return False
