"""Whose rows are whose in a database that several servers share."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir
from sqlalchemy import URL

#: Of a database that is one user's alone, and of what older versions have written.
ONLY_ONE = ""


def tenant_for(url: URL, *, is_own_file: bool) -> str:
    """Whose rows the server of this process works with, of the database at `url`.

    `is_own_file` says that it is the file in the user's own data directory. Neither a
    new name of the machine nor another place of the home makes a user another tenant.

    Raises
    ------
    OSError
        The data directory, which holds the tenant's name, cannot be written.
    """
    if is_own_file:
        return ONLY_ONE  # also where the home comes to a hub, or leaves it
    if at_hub := name_at_hub():
        return f"hub:{at_hub}"
    if url.get_backend_name() == "sqlite":
        return ONLY_ONE
    return _name_of_home()


def name_at_hub() -> str:
    """What the hub calls this server: ``USER``, ``USER/SERVER`` or ``service:NAME``.

    Empty where it has no name, or no hub started it.
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
            os.link(draft, path)  # of several servers that start at once one wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
