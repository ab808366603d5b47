"""A record on disk of a server's CLI processes, for the next server.

On Linux the system ends the processes of a server that dies by SIGKILL (see
`exec_wrapper`). Elsewhere it does not, and the temporary directory always stays. The
next server that starts reads the record and removes what is left.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil

from ..process import end_all

PATTERN = "claude-gateway-processes-*.json"


class Ledger:
    """The record of this server's processes, a file in `directory`.

    Every method does file I/O, so call it in a thread.
    """

    def __init__(self, directory: Path, private_directory: str) -> None:
        self._path = directory / PATTERN.replace("*", str(os.getpid()))
        self._private_directory = private_directory

    def write(self, pids: Iterable[int]) -> None:
        """Write a record of the processes `pids` in the place of the old one."""
        record = {
            "server": _identify(os.getpid()),
            "processes": [identity for pid in pids if (identity := _identify(pid))],
            "directory": self._private_directory,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".tmp")
        draft.write_text(json.dumps(record))
        draft.replace(self._path)

    def remove(self) -> None:
        """Remove the record: nothing is left to end."""
        self._path.unlink(missing_ok=True)


def reap(directory: Path, log: logging.Logger, grace_seconds: float) -> None:
    """End and remove what servers that are gone have left; blocks."""
    for path in directory.glob(PATTERN):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(path.read_text())
            if _running(record["server"]) is not None:
                continue
            left = [p for entry in record["processes"] if (p := _running(entry))]
            for process in left:
                log.warning(
                    "ending Claude CLI %s, left by a server that is gone", process.pid
                )
            end_all(_with_descendants(left), grace_seconds)
            _remove_temporary(record["directory"])
            path.unlink(missing_ok=True)


def _identify(pid: int) -> list[float] | None:
    with contextlib.suppress(psutil.Error):
        return [pid, psutil.Process(pid).create_time()]
    return None


def _running(identity: list[float] | None) -> psutil.Process | None:
    if identity is not None and identity == _identify(int(identity[0])):
        return psutil.Process(int(identity[0]))
    return None


def _with_descendants(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found += process.children(recursive=True)
    return found


def _remove_temporary(directory: str) -> None:
    if Path(directory).parent == Path(tempfile.gettempdir()):
        shutil.rmtree(directory, ignore_errors=True)
