from __future__ import annotations

import os
import subprocess
import sys

import pytest

from claude_nb_gateway.connection import (
    Connection,
    read_connection,
    remove_connection,
    remove_stale_connections,
    runtime_file,
    write_connection,
)

CONNECTION = Connection("http://127.0.0.1:8888/v1", "secret", "/cert.pem")


@pytest.fixture(autouse=True)
def runtime_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


def test_what_is_written_is_read():
    write_connection(1, CONNECTION)
    assert read_connection(1) == CONNECTION
    remove_connection(1)
    assert read_connection(1) is None


def test_file_is_for_its_user_alone():
    old = os.umask(0)
    try:
        write_connection(1, CONNECTION)
    finally:
        os.umask(old)
    assert runtime_file(1).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"x": 1}', "null"])
def test_spoilt_file_is_no_connection(text):
    runtime_file(1).parent.mkdir()
    runtime_file(1).write_text(text)
    assert read_connection(1) is None


def test_files_of_killed_servers_are_removed():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    other = runtime_file(1).with_name("claude-gateway-processes-1.json")
    for pid in (gone.pid, os.getpid()):
        write_connection(pid, CONNECTION)
    other.write_text("")
    remove_stale_connections()
    assert read_connection(gone.pid) is None
    assert read_connection(os.getpid()) == CONNECTION
    assert other.exists()


def test_key_is_not_shown():
    assert "secret" not in repr(CONNECTION)
