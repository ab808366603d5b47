"""`jupyter claude-gateway`, and `python -m claude_nb_gateway`."""

from __future__ import annotations

import sys
from pathlib import Path

LOGIN_COMMANDS = ("login", "logout", "status")


def main() -> None:
    """Run the gateway, or one of its commands, which start no server."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name == "key":
        from .commands.key import KeyApp

        KeyApp.launch_instance(sys.argv[2:])
    elif name in LOGIN_COMMANDS:
        from .commands.login import LoginApp

        LoginApp.launch_instance(sys.argv[2:], command=name)
    elif name and not name.startswith("-") and not Path(name).is_dir():
        commands = ", ".join(("key", *LOGIN_COMMANDS))
        sys.exit(f"{name!r} is no command: there are {commands}; --help says more.")
    else:
        from .app import GatewayApp

        GatewayApp.launch_instance()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
