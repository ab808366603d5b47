"""Whether JupyterHub started this server, and for whom."""

from __future__ import annotations

import os

# Some spawners leave some of them out.
STARTED_BY_HUB = (
    "JUPYTERHUB_API_TOKEN",
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_SERVICE_PREFIX",
    "JUPYTERHUB_USER",
)


def under_hub() -> bool:
    """Whether a hub started this process, or a server of its."""
    return any(os.environ.get(name) for name in STARTED_BY_HUB)


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
