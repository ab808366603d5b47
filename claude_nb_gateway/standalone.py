"""The server of `jupyter claude-gateway`."""

from __future__ import annotations

import logging
import os
from importlib.metadata import version

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from traitlets import default

#: Of a body for what is not ours, where the gateway stands alone; ours has its own
#: bounds (see `api.bodies`).
MOST_FOREIGN_BODY_BYTES = 64 * 2**10


#: Of Jupyter's start, which no method gives: it speaks of kernels.
HOW_TO_STOP = "Use Control-C to stop this server"


class StandaloneServer(ServerApp):
    """A Jupyter server without notebooks: only what the gateway needs of it.

    No kernels, no files, no terminals: they would be open wherever the gateway is.
    """

    default_services = ("api", "auth", "security", "shutdown")  # type: ignore[assignment]

    # Defaults of their own, so that command line and files still decide.
    @default("port")
    def _default_port(self) -> int:
        # Beside a socket Jupyter allows no port but its own default.
        return self.port_default_value if self.sock else 8000

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

    def init_logging(self) -> None:
        """Leave out of the log what is about notebooks."""
        super().init_logging()
        self.log.addFilter(_without_kernels)

    def running_server_info(self, kernel_count: bool = True) -> str:
        """Say where the gateway is, and how one is let in; there are no kernels."""
        about = f"Claude gateway {version('claude_nb_gateway')} answers at"
        key = "API key: the server's token, which `jupyter server list` shows."
        if getattr(self.starter_app, "keyless", False):
            key = "Clients on this machine need no API key."
        projects = f"Projects are directories below {self.root_dir}."
        return f"{about} {place_of(self)}\n{key}\n{projects}"

    def _find_http_port(self) -> None:
        try:
            super()._find_http_port()
        except SystemExit:
            self.log.critical(
                "Perhaps a gateway runs there already (`jupyter server list` shows "
                "yours): use that one, stop it, or start this one on another port: "
                "`jupyter claude-gateway --port=%d`.",
                self.port + 1,
            )
            raise


def base_url_of(server: ServerApp) -> str:
    """The URL of ``/v1``; of a server on a socket, what is said over that."""
    if not server.sock:
        return url_path_join(server.connection_url, "v1")
    scheme = "https" if server.certfile else "http"
    return url_path_join(f"{scheme}://localhost", server.base_url, "v1")


def place_of(server: ServerApp) -> str:
    """`base_url_of`, and the socket if there is one."""
    socket = f" over the unix socket {os.path.abspath(server.sock)}"
    return base_url_of(server) + (socket if server.sock else "")


def _without_kernels(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(HOW_TO_STOP):
        record.msg = f"{HOW_TO_STOP}."
    return True
