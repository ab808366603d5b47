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
