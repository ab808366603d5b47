"""Whether JupyterHub started this server."""

from __future__ import annotations

import os

# Some spawners set only some of these variables.
STARTED_BY_HUB = (
    "JUPYTERHUB_API_TOKEN",
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_SERVICE_PREFIX",
    "JUPYTERHUB_USER",
)


def under_hub() -> bool:
    """Whether a hub started this process, or the server that started it."""
    return any(os.environ.get(name) for name in STARTED_BY_HUB)
