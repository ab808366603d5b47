"""Where on this machine the CLI is, and where its and our files are."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from jupyter_core.paths import (
    jupyter_config_dir,
    jupyter_data_dir,
    jupyter_runtime_dir,
)

from ..errors import CLINotFound


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


def private_directories() -> list[str]:
    """Jupyter's own: in one is the token of the server, in another are its keys."""
    names = (jupyter_runtime_dir(), jupyter_data_dir(), jupyter_config_dir())
    return sorted({os.path.realpath(name) for name in names})


def _bundled_cli() -> str:
    # find_spec does not import the package, which would take half a second.
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return ""
    return str(Path(spec.origin).with_name("_bundled") / "claude")
