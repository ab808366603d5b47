"""OpenAI-compatible endpoints over the Claude Code CLI, for Jupyter."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .app import GatewayApp

    return [{"module": "claude_nb_gateway.app", "app": GatewayApp}]
