from __future__ import annotations

import subprocess
import sys

import httpx2
import openai
import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell

from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.notebook.errors import (
    AnswerFailed,
    GatewayUnreachable,
    RequestRefused,
)
from claude_nb_gateway.testing.server import hermetic_environment


@pytest.fixture
def plain_shell(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell()
    yield shell
    shell.history_manager.end_session()
    shell.history_manager.save_thread.stop()
    shell.atexit_operations = lambda: None


@pytest.fixture
def shell(plain_shell, gateway, tmp_path, monkeypatch):
    """An IPython whose magics ask the gateway of the tests."""
    key_file = tmp_path / "key"
    key_file.write_text(gateway.key + "\n")
    monkeypatch.setenv("CLAUDE_GATEWAY_URL", gateway.base_url)
    monkeypatch.setenv("CLAUDE_GATEWAY_KEY_FILE", str(key_file))
    plain_shell.run_line_magic("load_ext", "claude_nb_gateway")
    yield plain_shell
    plain_shell.run_line_magic("unload_ext", "claude_nb_gateway")


@pytest.mark.parametrize("body", ["{'a': 1}", "$HOME {{x}}", "!ls", "%time", "a\n\nb"])
def test_body_arrives_as_typed(shell, model, body):
    assert shell.run_cell(f"%%claude\n{body}").success
    assert model.requests[0].turns == [("user", body)]


def test_line_arrives_as_typed(shell, model):
    shell.run_cell("%claude it's {shell} $HOME, isn't it?")
    assert model.requests[0].turns == [("user", "it's {shell} $HOME, isn't it?")]


def test_conversation_goes_on_until_a_new_one(shell, model):
    model.script(Reply(["one"]), Reply(["two"]))
    shell.run_cell("%%claude\nfirst")
    shell.run_cell("%%claude\nsecond")
    shell.run_cell("%%claude --new\nthird")
    turns = [request.turns for request in model.requests]
    assert turns[1] == [("user", "first"), ("assistant", "one"), ("user", "second")]
    assert turns[2] == [("user", "third")]


def test_options_reach_the_model(shell, model):
    shell.run_cell('%%claude -m claude-sonnet-4-20250514 -s "Be a pirate."\nhi')
    shell.run_cell("%%claude\nagain")
    first, second = model.requests
    assert first.body["model"] == "claude-sonnet-4-20250514"
    assert "Be a pirate." in first.system
    assert "Be a pirate." in second.system


def test_terminal_prints_the_answer_as_it_comes(shell, model, capsys):
    model.script(Reply(["Hello ", "world"]))
    shell.run_cell("%%claude\nhi")
    assert capsys.readouterr().out == "Hello world\n"


def test_failed_turn_raises_and_is_forgotten(shell, model, capsys):
    model.script(Reply(status=529), Reply(["better"]))
    result = shell.run_cell("%%claude\nfirst")
    assert isinstance(result.error_in_exec, AnswerFailed)
    assert result.error_in_exec.status == 503
    assert "Traceback" not in capsys.readouterr().out
    shell.run_cell("%%claude\nsecond")
    assert model.requests[1].turns == [("user", "second")]


def test_answer_that_breaks_off_raises(shell, model, capsys):
    model.script(Reply(["a ", "b ", "c"], drop_after=2, delay_seconds=0.05))
    result = shell.run_cell("%%claude\nhi")
    assert isinstance(result.error_in_exec, AnswerFailed)
    assert capsys.readouterr().out.startswith("a b ")


def test_refused_request_says_what_to_change(shell):
    result = shell.run_cell("%%claude -m gpt-9\nhi")
    assert isinstance(result.error_in_exec, RequestRefused)
    assert "sonnet" in str(result.error_in_exec)


def test_gateway_that_is_gone_is_named(shell, monkeypatch):
    monkeypatch.setenv("CLAUDE_GATEWAY_URL", "http://127.0.0.1:9/v1")
    result = shell.run_cell("%%claude\nhi")
    assert isinstance(result.error_in_exec, GatewayUnreachable)
    assert "127.0.0.1:9" in str(result.error_in_exec)


def test_missing_key_file_is_named(shell, monkeypatch):
    monkeypatch.setenv("CLAUDE_GATEWAY_KEY_FILE", "/no/such/key")
    result = shell.run_cell("%%claude\nhi")
    assert "/no/such/key" in str(result.error_in_exec)


def test_traits_are_configurable(shell, model):
    shell.run_line_magic("config", "ClaudeMagics.model = 'claude-3-5-haiku-20241022'")
    shell.run_cell("%%claude\nhi")
    assert model.requests[0].body["model"] == "claude-3-5-haiku-20241022"


def test_gateway_is_there_for_openai_clients(shell, gateway):
    shell.run_cell("found = %claude_gateway")
    found = shell.user_ns["found"]
    assert (found.base_url, found.api_key) == (gateway.base_url, gateway.key)


def test_gateway_on_a_socket_is_given_with_the_client_that_reaches_it(
    shell, monkeypatch, capsys
):
    monkeypatch.setenv("CLAUDE_GATEWAY_URL", "http+unix://%2Ftmp%2Fs.sock/v1")
    shell.run_cell("found = %claude_gateway")
    said = capsys.readouterr().out
    assert "unix socket /tmp/s.sock" in said
    remedy = said[said.index("OpenAI(") :]
    names = {"OpenAI": openai.OpenAI, "httpx2": httpx2}
    found = eval(remedy, names | {"gateway": shell.user_ns["found"]})
    assert str(found.base_url) == "http://localhost/v1/"
    found.close()


def test_unloading_leaves_nothing(shell):
    shell.run_line_magic("unload_ext", "claude_nb_gateway")
    manager = shell.magics_manager
    left = [*manager.magics["line"], *manager.magics["cell"], *manager.registry]
    assert not [name for name in left if "claude" in name.lower()]
    assert not [c for c in shell.configurables if "claude" in type(c).__module__]
    assert not [t for t in shell.input_transformers_cleanup if "claude" in t.__module__]
    shell.run_line_magic("load_ext", "claude_nb_gateway")


ALONE = """
import sys, psutil
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "claude_nb_gateway")
assert shell.run_cell("%%claude\\nhello").success
family = psutil.Process().children(recursive=True)
print("PIDS", *[process.pid for process in family], flush=True)
sys.stdin.read()
"""


@pytest.mark.soak
@pytest.mark.parametrize("killed", [True, False])
def test_embedded_gateway_ends_with_its_kernel(tmp_path, model, killed):
    with subprocess.Popen(
        [sys.executable, "-c", ALONE],
        env=hermetic_environment(tmp_path, model.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as kernel:
        assert kernel.stdout.readline() == "hello\n"
        family = [psutil.Process(int(p)) for p in kernel.stdout.readline().split()[1:]]
        assert len(family) >= 2  # the gateway, its spare CLI
        if killed:
            kernel.kill()
        else:
            kernel.stdin.close()
        _, left = psutil.wait_procs(family, timeout=3)
        assert not [p for p in left if p.is_running() and p.status() != "zombie"]
