"""Tenants: who owns which rows in a database that several servers share."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir
from sqlalchemy import URL

#: The tenant of a database with one user, and of rows from older versions.
ONLY_ONE = ""


def tenant_for(url: URL, *, is_own_file: bool) -> str:
    """The tenant of this process's server in the database at `url`.

    `is_own_file` means that the database is the file in the user's data directory. The
    tenant stays the same if the machine is renamed, or if the home directory moves.

    Raises
    ------
    OSError
        The data directory, which holds the tenant's name, is not writable.
    """
    if is_own_file:
        return ONLY_ONE  # also if the home directory moves to a hub, or away from one
    if at_hub := name_at_hub():
        return f"hub:{at_hub}"
    if url.get_backend_name() == "sqlite":
        return ONLY_ONE
    return _name_of_home()


def name_at_hub() -> str:
    """The hub's name of this server: ``USER``, ``USER/SERVER`` or ``service:NAME``.

    Empty if it has no name, or if no hub started it.
    """
    user = os.environ.get("JUPYTERHUB_USER", "")
    server = os.environ.get("JUPYTERHUB_SERVER_NAME", "")
    if user:
        return f"{user}/{server}" if server else user
    service = os.environ.get("JUPYTERHUB_SERVICE_NAME", "")
    return f"service:{service}" if service else ""


def _name_of_home() -> str:
    path = Path(jupyter_data_dir(), "claude_nb_gateway", "tenant")
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"tenant-{secrets.token_hex(8)}")
        draft.write_text(f"home:{secrets.token_hex(12)}\n")
        try:
            os.link(draft, path)  # if several servers start at once, one wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
