"""Where a server of the command is reached, and when it must not start."""

from __future__ import annotations

import logging

import pytest
from jupyter_server.serverapp import ServerApp

from claude_nb_gateway.connection import Connection
from claude_nb_gateway.demo.wiring import greeting
from claude_nb_gateway.standalone import (
    base_url_of,
    is_loopback,
    place_of,
    reason_not_to_start,
)
from claude_nb_gateway.startup import tell_kernels, warn_of_credentials


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    for name in ("API_TOKEN", "API_URL", "SERVICE_PREFIX", "USER"):
        monkeypatch.delenv(f"JUPYTERHUB_{name}", raising=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_it_may_start_without_a_key(address):
    server = ServerApp(ip=address)
    assert is_loopback(server)
    assert reason_not_to_start(server, alone=True) == ""


@pytest.mark.parametrize(
    "address", ["", "*", "0.0.0.0", "::", "192.0.2.2", "a.example"]
)
def test_beyond_loopback_only_a_jupyter_server_starts_it_without_a_key(address):
    server = ServerApp(ip=address)
    assert not is_loopback(server)
    assert "--require-auth" in reason_not_to_start(server, alone=True)
    # That server's user turned its authentication off on purpose.
    assert reason_not_to_start(server, alone=False) == ""


@pytest.mark.parametrize("alone", [True, False])
def test_under_a_hub_it_never_starts_without_a_key(monkeypatch, alone):
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    why = reason_not_to_start(ServerApp(ip="127.0.0.1"), alone=alone)
    assert "JupyterHub" in why


def test_server_on_a_socket_is_local_and_named_with_its_socket(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    server = ServerApp(sock="s.sock", base_url="/user/me/")
    assert is_loopback(server)
    assert base_url_of(server) == "http://localhost/user/me/v1"
    assert place_of(server).endswith(f" over the unix socket {tmp_path}/s.sock")


def test_demo_greets_with_a_command_and_variables_to_paste():
    text = greeting("http://127.0.0.1:8000/v1", "k", "")
    assert "curl -N http://127.0.0.1:8000/v1/chat/completions" in text
    assert "Bearer k" in text
    assert "export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=k" in text


def test_demo_on_a_socket_greets_without_variables_which_name_no_socket():
    text = greeting("http://localhost/v1", "k", "/a b.sock")
    assert "curl --unix-socket '/a b.sock' -N http://localhost/v1/" in text
    assert "OPENAI_BASE_URL" not in text


@pytest.mark.parametrize(("below", "warned"), [("claude", True), ("../claude", False)])
def test_credentials_below_the_root_are_warned_of(tmp_path, caplog, below, warned):
    root = tmp_path / "root"
    (root / below).mkdir(parents=True)
    warn_of_credentials(logging.getLogger("t"), str(root), root / below)
    assert ("ServerApp.root_dir" in caplog.text) is warned


@pytest.mark.anyio
async def test_runtime_directory_that_cannot_be_written_is_warned_of(
    tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file"))
    await tell_kernels(logging.getLogger("t"), Connection("http://127.0.0.1:1/v1", "k"))
    assert "runtime directory" in caplog.text
