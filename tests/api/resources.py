"""What the tests of projects, sessions and keys share."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2

from claude_nb_gateway.claude_code.manager import CLIManager
from claude_nb_gateway.testing.server import hermetic_environment

CHAT = "chat/completions"


@contextmanager
def http(gateway, key=None):
    """A client of ``/v1`` that speaks plain HTTP."""
    headers = {"Authorization": f"Bearer {key or gateway.key}"}
    with httpx2.Client(
        base_url=gateway.base_url, headers=headers, timeout=60
    ) as client:
        yield client


def chat(client, text="hello", path=CHAT, **fields):
    """Ask, and return the response; the model is sonnet."""
    question = {"role": "user", "content": text}
    body = {"model": "sonnet", "messages": [question], **fields}
    return client.post(path, json=body)


def words(response):
    """What the model said in a whole answer."""
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def error_of(response):
    """Status and code of an error, which must have OpenAI's shape."""
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return response.status_code, error["code"]


def make_project(client, path):
    """Make a project at `path`; returns its object."""
    response = client.post("projects", json={"path": path})
    assert response.status_code == 200, response.text
    return response.json()


def command(gateway, model, *words, env=()):
    """Run `jupyter claude-gateway WORDS` as the gateway's user would."""
    return subprocess.run(
        [sys.executable, "-m", "jupyter", "claude-gateway", *words],
        env=hermetic_environment(gateway.directory, model.url) | dict(env),
        cwd=gateway.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_key(gateway, model, name, *options):
    """A new scoped key."""
    made = command(gateway, model, "key", "create", "--name", name, *options)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def runtime_file(gateway):
    """The file that tells kernels where the gateway is, and their key."""
    name = f"claude-gateway-{gateway.process.pid}.json"
    return gateway.directory / "runtime" / name


def in_terminal(gateway, model, directory, *words):
    """Run `claude -p WORDS` in `directory`, below the server's root."""
    return subprocess.run(
        [CLIManager().find_cli(), "-p", *words],
        env=hermetic_environment(gateway.directory, model.url),
        cwd=Path(gateway.directory) / directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
