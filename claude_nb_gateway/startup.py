"""What is checked, written and said once while the server starts."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp

from .claude_code.failures import LOGIN_REQUIRED
from .claude_code.login import is_logged_in
from .claude_code.manager import CLIManager
from .connection import Connection, remove_stale_connections, write_connection
from .errors import CLINotFound

Log = logging.Logger | logging.LoggerAdapter[Any]


def stop_at_sigint(server: ServerApp) -> None:
    """Let SIGINT end `server` in good order also where there is no terminal.

    Without a terminal Jupyter leaves the signal to Python, whose KeyboardInterrupt ends
    the event loop at once, so that no extension is stopped.
    """
    untouched = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if untouched and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: server.stop(from_signal=True))


def spare_the_collector() -> None:
    """Exclude all objects that exist now from garbage collection.

    The 200,000 objects of Jupyter and its extensions stay until the end. With them a
    full collection takes a tenth of a second, in which nobody is answered, and a large
    request causes several.
    """
    gc.collect()
    gc.freeze()


def warn_of_credentials(log: Log, root: str, config_directory: Path) -> None:
    """Warn if Claude Code's configuration is below `root`, where callers' tools work.

    Parameters
    ----------
    root:
        The real path of the server's root directory.
    config_directory:
        Claude Code's configuration directory.
    """
    if os.path.commonpath([root, os.path.realpath(config_directory)]) == root:
        log.warning(
            "The server's root directory %s contains Claude Code's configuration "
            "directory %s, with its login and all transcripts. Claude's tools for "
            "files cannot read it, but Bash and MCP servers can, for callers who have "
            "them. Choose a narrower root (ServerApp.root_dir) to keep all out.",
            root,
            config_directory,
        )


async def warn_of_login(log: Log, manager: CLIManager) -> None:
    """Warn if there is no CLI or no login, before the first request fails with it."""
    try:
        found = await is_logged_in(
            manager.find_cli(),
            manager.environment(),
            timeout_seconds=manager.control_timeout_seconds,
        )
    except (CLINotFound, OSError) as error:
        log.warning("%s", error)
    else:
        if found is False:
            log.warning("%s", LOGIN_REQUIRED)


async def tell_kernels(log: Log, connection: Connection) -> None:
    """Write the runtime file, by which kernels find the gateway."""
    try:
        await asyncio.to_thread(remove_stale_connections)
        await asyncio.to_thread(write_connection, os.getpid(), connection)
    except OSError as error:
        log.warning(
            "Jupyter's runtime directory cannot be written (%s): %%%%claude in the "
            "notebooks of this server does not find the gateway; HTTP clients do.",
            error,
        )
