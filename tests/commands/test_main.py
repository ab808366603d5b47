"""`jupyter claude-gateway` with a word that is no command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from claude_nb_gateway.testing.server import (
    STANDALONE,
    hermetic_environment,
    running_gateway,
)


def run(tmp_path, *words):
    return subprocess.run(
        [sys.executable, "-m", "jupyter", "claude-gateway", *words],
        env=hermetic_environment(tmp_path, "http://127.0.0.1:1"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("words", [("start",), ("keys", "--json"), ("./a b",)])
def test_word_that_is_no_command_is_told_which_there_are(tmp_path, words):
    found = run(tmp_path, *words)
    assert found.returncode == 1
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert repr(words[0]) in line
    for command in ("key", "login", "logout", "status"):
        assert command in line


def test_directory_in_the_place_of_a_command_is_the_root(tmp_path, model):
    (tmp_path / "work").mkdir()
    command = (*STANDALONE, "work")
    with running_gateway(tmp_path, model.url, command=command) as gateway:
        gateway.wait_for_log(f"Projects are directories below {tmp_path}/work")
