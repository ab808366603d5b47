"""Processes that start others: nothing of them is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest

from claude_nb_gateway.claude_code.exec_wrapper import WRONG_DIRECTORY
from claude_nb_gateway.claude_code.process import EXEC_WRAPPER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no guard")

# A parent that starts the wrapper, prints its process id, and waits.
PARENT = """
import os, subprocess, sys
process = subprocess.Popen(
    [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), "-", "guarded",
     "/bin/bash", "-c", sys.argv[2]])
print(process.pid, flush=True)
process.wait()
"""

STUBBORN = "trap '' TERM; sleep 1000; true"
DETACHED = "setsid nohup sleep 1000 >/dev/null 2>&1 & sleep 1000"


@pytest.fixture
def family():
    """Start a command under a guard; give its parent and all below it."""
    parents = []

    def start(command, count):
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, EXEC_WRAPPER, command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        parents.append(parent)
        guard = psutil.Process(int(parent.stdout.readline()))
        while len(below := guard.children(recursive=True)) < count:
            os.sched_yield()
        return parent, [guard, *below]

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def all_gone(processes, seconds):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.soak
@pytest.mark.parametrize("command", ["sleep 1000", STUBBORN, DETACHED])
def test_parent_killed_leaves_nothing(family, command):
    parent, processes = family(command, 1 if command == "sleep 1000" else 2)
    parent.kill()
    assert all_gone(processes, 3)


def test_guard_told_to_end_leaves_nothing(family):
    _, processes = family(DETACHED, 3)
    processes[0].send_signal(signal.SIGTERM)
    assert all_gone(processes, 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_of_the_terminal_leaves_nothing(family, number):
    _, processes = family(DETACHED, 3)
    for process in reversed(processes):  # as a terminal tells a whole group
        # One whose child has ended may have ended already.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    assert all_gone(processes, 3)


def launched(tmp_path, directory_id, command):
    words = [
        sys.executable,
        EXEC_WRAPPER,
        str(os.getpid()),
        directory_id,
        "guarded",
        *command,
    ]
    return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)


def test_exit_status_is_that_of_the_command(tmp_path):
    assert launched(tmp_path, "-", ["/bin/sh", "-c", "exit 7"]).returncode == 7


def test_streams_are_those_of_the_command(tmp_path):
    assert launched(tmp_path, "-", ["/bin/echo", "hello"]).stdout == "hello\n"


def test_nothing_is_started_in_another_directory(tmp_path):
    here = tmp_path.stat()
    right = f"{here.st_dev}:{here.st_ino}"
    assert launched(tmp_path, right, ["/bin/echo", "here"]).stdout == "here\n"
    wrong = launched(tmp_path, "1:1", ["/bin/echo", "here"])
    assert (wrong.returncode, wrong.stdout) == (WRONG_DIRECTORY, "")
