"""The command, in a process of its own, with the real CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from claude_nb_gateway.testing.server import hermetic_environment

COMMAND = [sys.executable, "-W", "error", "-m", "jupyter", "claude-gateway"]


@pytest.fixture
def run(tmp_path):
    environment = hermetic_environment(tmp_path, "http://127.0.0.1:1")

    def run(*arguments, **variables):
        return subprocess.run(
            [*COMMAND, *arguments],
            env=environment | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


def test_status_is_that_of_the_cli_which_servers_use(run):
    found = run("status")
    assert found.returncode == 0
    assert json.loads(found.stdout)["apiKeySource"] == "ANTHROPIC_API_KEY"
    assert found.stderr == ""
    found = run("status", ANTHROPIC_API_KEY="")
    assert found.returncode == 1
    assert json.loads(found.stdout)["loggedIn"] is False
    assert found.stderr == (
        "Log in with `jupyter claude-gateway login`, or set ANTHROPIC_API_KEY.\n"
    )


@pytest.mark.parametrize(("end", "status"), [("exit 3", 3), ("kill -TERM $$", 143)])
def test_status_ends_as_that_of_the_cli(run, tmp_path, end, status):
    cli = tmp_path / "claude"
    cli.write_text(f'#!/bin/sh\necho "$@"; pwd; {end}\n')
    cli.chmod(0o755)
    found = run("status", f"--CLIManager.cli_path={cli}", "--text")
    assert found.returncode == status
    home = os.path.realpath(tmp_path / "home")
    assert found.stdout.splitlines() == ["auth status --text", home]
    assert found.stderr == ""


def test_flags_are_the_clis_and_traits_are_ours(run, tmp_path):
    config = tmp_path / "config"
    config.mkdir()
    env = {"ANTHROPIC_API_KEY": ""}
    settings = f"c.CLIManager.cli_env = {env}"
    (config / "jupyter_claude_gateway_config.py").write_text(settings)
    assert "Not logged in" in run("status", "--text").stdout
    found = run("status", "--CLIManager.cli_path=/nowhere/claude")
    assert found.returncode == 1
    assert "pip install claude-agent-sdk" in found.stderr
    assert found.stdout == ""


def test_login_and_logout_are_the_clis(run, tmp_path):
    cli = tmp_path / "claude"
    cli.write_text('#!/bin/sh\necho "$@"; pwd; exit 7\n')
    cli.chmod(0o755)
    for command in ("login", "logout"):
        found = run(command, f"--CLIManager.cli_path={cli}", "--console", "--email=a@b")
        assert found.returncode == 7
        said, directory = found.stdout.splitlines()
        assert said == f"auth {command} --console --email=a@b"
        assert directory == os.path.realpath(tmp_path / "home")
