"""The paths of the CLI, of its files, and of the gateway's files."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jupyter_core.paths import (
    jupyter_config_dir,
    jupyter_config_path,
    jupyter_data_dir,
    jupyter_runtime_dir,
)

from ..errors import CLINotFound
from .guard import Guarded, pattern, restrictions_in

# Relative to the user's home: Jupyter's directories, and passwords for databases.
USUAL_PRIVATE = (".jupyter", ".local/share/jupyter", ".pgpass")
# Variables with the path of such a file of passwords, and of a file with the
# gateway's key.
PRIVATE_VARIABLES = ("PGPASSFILE", "CLAUDE_GATEWAY_KEY_FILE")


def find_cli(configured: str) -> str:
    """The absolute path of the CLI: the `configured` one, or the first one found.

    Raises
    ------
    CLINotFound
        There is none; the message says what to install.
    """
    candidates = [configured] if configured else [_bundled_cli(), "claude"]
    for candidate in candidates:
        found = shutil.which(os.path.expanduser(candidate))
        if found:
            return os.path.abspath(found)
    raise CLINotFound(
        "The Claude Code CLI was not found on the server. Install it there with "
        "`pip install claude-agent-sdk`, or set CLIManager.cli_path to its path.",
        detail=f"looked for: {', '.join(filter(None, candidates))}",
    )


def config_directory(environment: Mapping[str, str]) -> Path:
    """The directory of the transcripts and the login of a CLI in `environment`."""
    home = environment.get("HOME") or os.path.expanduser("~")
    directory = environment.get("CLAUDE_CONFIG_DIR")
    return Path(directory or os.path.join(home, ".claude"))


def sessions_directory() -> str:
    """The directory for sessions without a project; private, created if missing."""
    path = Path(os.path.realpath(jupyter_data_dir())) / "claude_nb_gateway" / "sessions"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(path)


def guarded(environment: Mapping[str, str], private: Iterable[str]) -> Guarded:
    """The paths that a CLI in `environment` must not access, including `private`.

    Reads the user's settings of the CLI: call it in a thread.
    """
    home = environment.get("HOME") or os.path.expanduser("~")
    configured = os.path.abspath(config_directory(environment))
    directories = tuple(pattern(path) for path in _names_of(configured))
    credentials = [
        f"{directory}/{name}"
        for directory in directories
        for name in (".credentials.json", ".claude.json*", "backups")
    ]
    credentials += [f"{pattern(path)}/.claude.json*" for path in _names_of(home)]
    return Guarded(
        configuration=directories,
        credentials=tuple(dict.fromkeys(credentials)),
        private=tuple(_private(environment, home, private)),
        restrictions=restrictions_in(_settings_in(configured), configured),
    )


def _private(
    environment: Mapping[str, str], home: str, private: Iterable[str]
) -> list[str]:
    # Jupyter's directories contain the server's token and its keys. If this server
    # uses other directories, the usual ones may belong to another server.
    usual = [os.path.join(home, name) for name in USUAL_PRIVATE]
    own = [jupyter_runtime_dir(), jupyter_data_dir(), jupyter_config_dir()]
    other = [environment.get(name, "") for name in PRIVATE_VARIABLES]
    paths = filter(None, (*own, *usual, *other, *private))
    named = [name for path in paths for name in _names_of(path)]
    # The next server runs its configuration as code. It may also contain a token.
    configs = [
        f"{pattern(name)}/jupyter*"
        for path in jupyter_config_path()
        for name in _names_of(path)
    ]
    # /proc shows the environment of each process, which may contain the server's token.
    return list(dict.fromkeys([*map(pattern, named), *configs, "/proc"]))


def _names_of(path: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((os.path.abspath(path), os.path.realpath(path))))


def _settings_in(directory: str) -> Any:
    # If the file is not readable, the CLI cannot read it either: it forbids nothing.
    with contextlib.suppress(OSError, ValueError):
        return json.loads(Path(directory, "settings.json").read_text())
    return None


def _bundled_cli() -> str:
    # find_spec does not import the package: the import takes half a second.
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return ""
    return str(Path(spec.origin).with_name("_bundled") / "claude")
