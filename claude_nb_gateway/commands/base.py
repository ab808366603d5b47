"""What the commands share."""

from __future__ import annotations

from jupyter_core.application import JupyterApp

CONFIG_FILES = ("jupyter_server_config", "jupyter_claude_gateway_config")


class Command(JupyterApp):
    """A command with the same configuration as the servers of this machine."""

    def load_config_file(  # type: ignore[override]
        self, suppress_errors: bool = True
    ) -> None:
        """Read the files that the servers read."""
        for name in CONFIG_FILES:
            self.config_file_name = name
            super().load_config_file(suppress_errors=suppress_errors)
