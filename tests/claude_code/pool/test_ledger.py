from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from claude_nb_gateway.claude_code.pool.ledger import Ledger, reap

SLEEPER = [sys.executable, "-c", "import time; time.sleep(99)"]


@pytest.fixture
def orphan():
    with subprocess.Popen(SLEEPER) as process:
        yield process
        process.kill()


def as_of_a_dead_server(directory):
    (path,) = directory.glob("*.json")
    record = json.loads(path.read_text())
    record["server"][1] -= 1  # same id, another process
    path.write_text(json.dumps(record))


def test_processes_of_a_dead_server_are_ended(tmp_path, log, orphan):
    private = tempfile.mkdtemp()
    Ledger(tmp_path, private).write([orphan.pid])
    as_of_a_dead_server(tmp_path)
    reap(tmp_path, log, grace_seconds=5)
    assert orphan.wait(5) is not None
    assert not Path(private).exists()
    assert not list(tmp_path.iterdir())


def test_processes_of_a_living_server_are_left_alone(tmp_path, log, orphan):
    Ledger(tmp_path, "").write([orphan.pid])
    reap(tmp_path, log, grace_seconds=5)
    assert orphan.poll() is None


def test_process_that_took_over_an_id_is_left_alone(tmp_path, log, orphan):
    Ledger(tmp_path, "").write([orphan.pid])
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    record["server"][1] -= 1
    record["processes"][0][1] -= 1
    path.write_text(json.dumps(record))
    reap(tmp_path, log, grace_seconds=5)
    assert orphan.poll() is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"server": null}', '{"server": 3}']
)
def test_spoilt_record_does_no_harm(tmp_path, log, content):
    (tmp_path / "claude-gateway-processes-1.json").write_text(content)
    reap(tmp_path, log, grace_seconds=1)
    assert psutil.pid_exists(os.getpid())


def test_directory_outside_the_temporary_one_is_never_removed(tmp_path, log):
    kept = tmp_path / "kept"
    kept.mkdir()
    Ledger(tmp_path, str(kept)).write([])
    as_of_a_dead_server(tmp_path)
    reap(tmp_path, log, grace_seconds=1)
    assert kept.exists()
