"""Where on this machine the CLI is, and where its and our files are."""

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

# In the user's home: of Jupyter, and the passwords for a database.
USUAL_PRIVATE = (".jupyter", ".local/share/jupyter", ".pgpass")
# They name a file with such passwords, and one with a gateway's key.
PRIVATE_VARIABLES = ("PGPASSFILE", "CLAUDE_GATEWAY_KEY_FILE")


def find_cli(configured: str) -> str:
    """The absolute path of the CLI: the one `configured`, or the first there is.

    Raises
    ------
    CLINotFound
        None of the places has one; the message says what to install.
    """
    candidates = [configured] if configured else [_bundled_cli(), "claude"]
    for candidate in candidates:
        found = shutil.which(os.path.expanduser(candidate))
        if found:
            return os.path.abspath(found)
    raise CLINotFound(
        "The Claude Code CLI was not found on the server. Install it there with "
        "`pip install claude-agent-sdk`, or point CLIManager.cli_path at it.",
        detail=f"looked for: {', '.join(filter(None, candidates))}",
    )


def config_directory(environment: Mapping[str, str]) -> Path:
    """Where a CLI with this `environment` keeps its transcripts and its login."""
    home = environment.get("HOME") or os.path.expanduser("~")
    directory = environment.get("CLAUDE_CONFIG_DIR")
    return Path(directory or os.path.join(home, ".claude"))


def sessions_directory() -> str:
    """Where sessions without a project run: a private one, made if it is missing."""
    path = Path(os.path.realpath(jupyter_data_dir())) / "claude_nb_gateway" / "sessions"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(path)


def guarded(environment: Mapping[str, str], private: Iterable[str]) -> Guarded:
    """What a CLI with this `environment` must keep out of, with the paths `private`.

    Reads the user's settings of the CLI: call it in a thread.
    """
    home = environment.get("HOME") or os.path.expanduser("~")
    configured = os.path.abspath(config_directory(environment))
    places = tuple(pattern(place) for place in _names_of(configured))
    credentials = [
        f"{place}/{name}"
        for place in places
        for name in (".credentials.json", ".claude.json*", "backups")
    ]
    credentials += [f"{pattern(place)}/.claude.json*" for place in _names_of(home)]
    return Guarded(
        configuration=places,
        credentials=tuple(dict.fromkeys(credentials)),
        private=tuple(_private(environment, home, private)),
        restrictions=restrictions_in(_settings_in(configured), configured),
    )


def _private(
    environment: Mapping[str, str], home: str, private: Iterable[str]
) -> list[str]:
    # In one of Jupyter's directories is the token of the server, in another are its
    # keys; where those are elsewhere, the usual ones may be another server's.
    usual = [os.path.join(home, name) for name in USUAL_PRIVATE]
    own = [jupyter_runtime_dir(), jupyter_data_dir(), jupyter_config_dir()]
    other = [environment.get(name, "") for name in PRIVATE_VARIABLES]
    paths = filter(None, (*own, *usual, *other, *private))
    named = [name for path in paths for name in _names_of(path)]
    # Configuration is code that the next server runs, and may hold its token.
    configs = [
        f"{pattern(name)}/jupyter*"
        for path in jupyter_config_path()
        for name in _names_of(path)
    ]
    # A process shows its environment there, with the server's token in it.
    return list(dict.fromkeys([*map(pattern, named), *configs, "/proc"]))


def _names_of(path: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((os.path.abspath(path), os.path.realpath(path))))


def _settings_in(directory: str) -> Any:
    # What the CLI could not read either forbids nothing there.
    with contextlib.suppress(OSError, ValueError):
        return json.loads(Path(directory, "settings.json").read_text())
    return None


def _bundled_cli() -> str:
    # find_spec does not import the package, which would take half a second.
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return ""
    return str(Path(spec.origin).with_name("_bundled") / "claude")
