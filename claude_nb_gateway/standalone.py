"""The server of `jupyter claude-gateway`."""

from __future__ import annotations

from jupyter_server.serverapp import ServerApp
from traitlets import default

#: Of a body for what is not ours, where the gateway stands alone; ours has its own
#: bounds (see `api.bodies`).
MOST_FOREIGN_BODY_BYTES = 64 * 2**10


class StandaloneServer(ServerApp):
    """A Jupyter server without notebooks: only what the gateway needs of it.

    No kernels, no files, no terminals: they would be open wherever the gateway is.
    """

    default_services = ("api", "auth", "security", "shutdown")  # type: ignore[assignment]

    # Defaults of their own, so that command line and files still decide.
    @default("port")
    def _default_port(self) -> int:
        return 8000

    @default("port_retries")
    def _default_port_retries(self) -> int:
        return 0  # on another port its clients would not find it

    @default("answer_yes")
    def _default_answer_yes(self) -> bool:
        return True  # Ctrl-C stops it, without a question

    @default("max_body_size")
    def _default_max_body_size(self) -> int:
        # Jupyter's own handlers read all of it before they ask for a key.
        return MOST_FOREIGN_BODY_BYTES

    @default("no_browser_open_file")
    def _default_no_browser_open_file(self) -> bool:
        return True
