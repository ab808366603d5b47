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
    found = run("status", ANTHROPIC_API_KEY="")
    assert found.returncode == 1
    assert json.loads(found.stdout)["loggedIn"] is False


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
