"""A real gateway in a separate process, with the real CLI and a stand-in model."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..demo.answers import demo_environment

KEY = "the-key-of-this-test"
START_SECONDS = 30
STOP_SECONDS = 15

JUPYTER = (sys.executable, "-m", "jupyter")
STANDALONE = ("claude-gateway",)
EXTENSION = ("server", "--no-browser")

# Variables with these prefixes are from the test run. The server, its CLI and its
# kernels must not see them.
FOREIGN = ("JUPYTER", "JPY", "ANTHROPIC", "CLAUDE", "OPENAI", "PYTEST")

READY = "OPENAI_BASE_URL="
SOCKET_OPTION = "--ServerApp.sock="

# Python looks here first. A module here hides the library of the same name.
ABSENT = str(Path(__file__).with_name("absent"))


@dataclass
class Gateway:
    """A running server: its address, its log, and its CLI processes."""

    process: subprocess.Popen[str]
    directory: Path
    base_url: str = ""
    key: str = KEY
    log: list[str] = field(default_factory=list)
    _log_ended: bool = False
    _log_grew: threading.Condition = field(default_factory=threading.Condition)

    def wait_for_log(self, words: str, timeout_seconds: float = 10.0) -> str:
        """Wait until a line of the log contains `words`; returns the log so far.

        Raises
        ------
        RuntimeError
            There is no such line in time, or before the server ends.
        """

        def logged() -> bool:
            """Whether there is such a line."""
            return any(words in line for line in self.log)

        with self._log_grew:
            self._log_grew.wait_for(
                lambda: logged() or self._log_ended, timeout_seconds
            )
        log = "".join(self.log)
        if not logged():
            raise RuntimeError(f"{words!r} was not logged:\n{log}")
        return log

    def read_log(self) -> None:
        """Read the log until the server ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._log_grew:
                self.log.append(line)
                self._log_grew.notify_all()
        with self._log_grew:
            self._log_ended = True
            self._log_grew.notify_all()

    @property
    def cli_processes(self) -> list[psutil.Process]:
        """All CLI processes among the descendants of the server."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in children if _is_cli(child)]
        return []

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait until the server ends, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


def _is_cli(process: psutil.Process) -> bool:
    # The guard of a CLI process has the same words in its command line.
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        return "stream-json" in words and "guarded" not in words
    return False


@contextlib.contextmanager
def running_gateway(
    directory: Path,
    model_url: str,
    *options: str,
    command: Sequence[str] = EXTENSION,
    env: Mapping[str, str] | None = None,
) -> Iterator[Gateway]:
    """Start `jupyter COMMAND OPTIONS` with its files below `directory`.

    Its CLI uses the model at `model_url`; its token is `KEY`. At the end it is stopped,
    with SIGKILL if need be.

    Raises
    ------
    RuntimeError
        It did not start; the message is its log.
    """
    on_socket = any(option.startswith(SOCKET_OPTION) for option in options)
    port = () if on_socket else ("--ServerApp.port=0",)
    process = subprocess.Popen(  # noqa: S603 - the arguments are the test's own
        [*JUPYTER, *command, "--allow-root", *port, *options],
        env={**hermetic_environment(directory, model_url), **(env or {})},
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    gateway = Gateway(process, directory)
    reader = threading.Thread(target=gateway.read_log, daemon=True)
    reader.start()
    try:
        log = gateway.wait_for_log(READY, START_SECONDS)
        gateway.base_url = log.partition(READY)[2].split()[0]
        yield gateway
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(STOP_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


def hermetic_environment(directory: Path, model_url: str) -> dict[str, str]:
    """An environment in which Jupyter and the CLI use only files in `directory`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN)
    }
    places = {
        "JUPYTER_CONFIG_DIR": str(directory / "config"),
        "JUPYTER_DATA_DIR": str(directory / "data"),
        "JUPYTER_RUNTIME_DIR": str(directory / "runtime"),
        "IPYTHONDIR": str(directory / "ipython"),
    }
    home = directory / "home"
    home.mkdir(exist_ok=True)
    return {
        **kept,
        **demo_environment(model_url, str(home)),
        **places,
        "JUPYTER_TOKEN": KEY,
        "PYTHONPATH": os.pathsep.join(filter(None, [ABSENT, kept.get("PYTHONPATH")])),
    }
