"""OpenAI-compatible endpoints over the Claude Code CLI, and `%%claude`, for Jupyter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .app import GatewayApp

    return [{"module": "claude_nb_gateway.app", "app": GatewayApp}]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext claude_nb_gateway`."""
    from .notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext claude_nb_gateway`."""
    from .notebook.magics import unload

    unload(shell)
