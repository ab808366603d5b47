"""Finds the gateway of this kernel, or starts one only for this kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from traitlets.config import Application

from ..connection import Connection, key_of_kernel, read_connection
from .errors import GatewayUnreachable

COMMAND = (
    "-m",
    "claude_nb_gateway",
    "--embedded",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--log-level=ERROR",
)


def find_connection() -> Connection | None:
    """The gateway that the environment names, or that of the kernel's own server.

    The environment names a gateway with ``CLAUDE_GATEWAY_URL``, with or without
    ``/v1``, and ``CLAUDE_GATEWAY_KEY_FILE``. A server with the gateway writes a file
    for the kernels that it starts.

    Raises
    ------
    GatewayUnreachable
        The key file cannot be read.
    """
    url = os.environ.get("CLAUDE_GATEWAY_URL")
    if url:
        return Connection(_with_v1(url.rstrip("/")), _key())
    parent = os.environ.get("JPY_PARENT_PID", "")
    found = read_connection(int(parent)) if parent.isdecimal() else None
    kernel_id = _kernel_id()
    if found is None or kernel_id is None:
        return found
    return replace(found, api_key=key_of_kernel(found.api_key, kernel_id))


def _with_v1(url: str) -> str:
    return url if "v1" in urlsplit(url).path.split("/") else f"{url}/v1"


def _kernel_id() -> str | None:
    """The Jupyter server's id of this kernel; None if this is not a kernel.

    It is part of the name of the kernel's connection file.
    """
    if not Application.initialized():
        return None
    stem = Path(getattr(Application.instance(), "connection_file", "")).stem
    return stem.removeprefix("kernel-") if stem.startswith("kernel-") else None


def _key() -> str:
    name = os.environ.get("CLAUDE_GATEWAY_KEY_FILE")
    if not name:
        return "none"
    try:
        return Path(name).expanduser().read_text().strip()
    except OSError as error:
        raise GatewayUnreachable(f"CLAUDE_GATEWAY_KEY_FILE: {error}") from error


class EmbeddedGateway:
    """A gateway in a separate process, only for this process.

    It ends when its standard input ends. So it also ends if this process is killed.
    """

    def __init__(self, start_timeout_seconds: float) -> None:
        self._timeout = start_timeout_seconds
        self._process: subprocess.Popen[str] | None = None
        self._connection: Connection | None = None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def connection(self) -> Connection:
        """The connection to it; starts it if it is not running.

        Raises
        ------
        GatewayUnreachable
            It did not start; the message ends with its output.
        """
        if not self.running or self._connection is None:
            self.stop()
            self._connection = self._start()
        return self._connection

    def stop(self) -> None:
        """Stop the process, and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> Connection:
        with tempfile.TemporaryFile("w+") as errors:
            self._process = process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, *COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # An interrupt of the cell must not reach the gateway.
                start_new_session=True,
            )
            assert process.stdout is not None
            overdue = threading.Timer(self._timeout, process.kill)
            overdue.start()
            try:
                return Connection.from_json(process.stdout.readline())
            except ValueError:
                self.stop()
                errors.seek(0)
                said = errors.read().strip()[-1000:]
                raise GatewayUnreachable(
                    f"the embedded gateway did not start: {said or 'no reason given'}"
                ) from None
            finally:
                overdue.cancel()
