"""`jupyter claude-gateway`, and `python -m claude_nb_gateway`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the gateway, or its command `key`, which needs nothing of a server."""
    if sys.argv[1:2] == ["key"]:
        from .keyapp import KeyApp

        KeyApp.launch_instance(sys.argv[2:])
    else:
        from .app import GatewayApp

        GatewayApp.launch_instance()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
