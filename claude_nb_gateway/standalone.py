"""The server of `jupyter claude-gateway`: where it listens, and when it starts."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import sys
from importlib.metadata import version
from urllib.parse import urlsplit

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from traitlets import default

from .access.hub import under_hub
from .connection import socket_url

#: Maximum size of a body for Jupyter's own handlers. The gateway's handlers have other
#: limits; see `api.bodies`.
MOST_FOREIGN_BODY_BYTES = 64 * 2**10

#: The values of `ServerApp.ip` with which a server listens on every address.
ANY_ADDRESS = ("", "*", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound

#: The beginning of a line that Jupyter logs at its start. The rest is about kernels,
#: and no method can change it.
HOW_TO_STOP = "Use Control-C to stop this server"


class StandaloneServer(ServerApp):
    """A Jupyter server with only those services that the gateway needs.

    It has no kernels, files and terminals: whoever reaches the gateway could use them.
    """

    default_services = ("api", "auth", "security", "shutdown")  # type: ignore[assignment]

    # These are defaults, so the command line and configuration files can change them.
    @default("port")
    def _default_port(self) -> int:
        # With a socket Jupyter allows no port except its own default.
        return self.port_default_value if self.sock else 8000

    @default("port_retries")
    def _default_port_retries(self) -> int:
        return 0  # clients would not find the gateway on another port

    @default("answer_yes")
    def _default_answer_yes(self) -> bool:
        return True  # Ctrl-C stops the server without a question

    @default("max_body_size")
    def _default_max_body_size(self) -> int:
        # Jupyter's own handlers read the whole body before they ask for a key.
        return MOST_FOREIGN_BODY_BYTES

    @default("no_browser_open_file")
    def _default_no_browser_open_file(self) -> bool:
        return True

    def init_logging(self) -> None:
        """Remove from the log what is about kernels, which this server has not."""
        super().init_logging()
        self.log.addFilter(_without_kernels)

    def running_server_info(self, kernel_count: bool = True) -> str:
        """Text for the user at the start: the address, and which key is needed."""
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
    """The URL of ``/v1``. For a server on a socket it is the one to send over that."""
    if not server.sock:
        return url_path_join(server.connection_url, "v1")
    scheme = "https" if server.certfile else "http"
    return url_path_join(f"{scheme}://localhost", server.base_url, "v1")


def place_of(server: ServerApp) -> str:
    """The URL of ``/v1``, and the path of the socket if there is one."""
    socket = f" over the unix socket {os.path.abspath(server.sock)}"
    return base_url_of(server) + (socket if server.sock else "")


def origin_of(server: ServerApp) -> str:
    """The scheme and address at which programs on this machine reach `server`."""
    if server.sock:
        return socket_url(server.sock)
    local = urlsplit(server.local_url)
    if server.ip in (*ANY_ADDRESS, "localhost"):
        return f"{local.scheme}://{local.netloc}"
    address = f"[{server.ip}]" if ":" in server.ip else server.ip
    return f"{local.scheme}://{address}:{server.port}"


def is_loopback(server: ServerApp) -> bool:
    """Whether only programs on this machine can reach `server`."""
    if server.sock or server.ip == "localhost":
        return True
    try:
        return ipaddress.ip_address(server.ip).is_loopback
    except ValueError:
        return False


def reason_not_to_start(server: ServerApp, *, alone: bool) -> str:
    """Why a gateway that asks for no key must not start; empty if it may.

    `alone` says that the command `jupyter claude-gateway` started the server.
    """
    if under_hub():
        return (
            "The gateway runs under JupyterHub and asks for no key, so that every "
            "user of the hub, or of this machine, could use it. Start it with "
            "--require-auth, or let the Jupyter server ask for its token."
        )
    if alone and not is_loopback(server):
        return (
            "The gateway listens beyond this machine (ServerApp.ip = "
            f"{server.ip!r}) and asks for no key. Start it with "
            "--require-auth, or on 127.0.0.1."
        )
    return ""


def stop_with_stdin(server: ServerApp) -> None:
    """Stop `server` when the other end of standard input is closed.

    That happens however the process at the other end ends.
    """
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def stop() -> None:
        """Stop at the end of standard input."""
        # Nobody ever writes there, so it is readable only when it is closed.
        loop.remove_reader(descriptor)
        server.stop()

    loop.add_reader(descriptor, stop)


def _without_kernels(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(HOW_TO_STOP):
        record.msg = f"{HOW_TO_STOP}."
    return True
