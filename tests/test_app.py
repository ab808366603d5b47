from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

import httpx2
import openai
import psutil
import pytest

from claude_nb_gateway.api import sse
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import (
    KEY,
    STANDALONE,
    hermetic_environment,
    running_gateway,
)

from .api.resources import make_key, runtime_file
from .conftest import client_of

QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}


@contextlib.contextmanager
def mid_turn(gateway, model, tokens=1):
    """A turn whose first tokens have come, 50 ms apart, and whose end never will."""
    model.script(Reply(["a"] * tokens, hang="after", delay_seconds=0.05))
    with client_of(gateway) as client:
        stream = client.chat.completions.create(**QUESTION, stream=True)
        for _ in range(1 + tokens):
            next(stream)
        yield
        with contextlib.suppress(openai.OpenAIError, OSError):
            stream.close()


def left_after(seconds, processes):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [p for p in alive if p.is_running() and p.status() != "zombie"]


@pytest.mark.parametrize(
    ("number", "seconds"),
    [
        pytest.param(signal.SIGTERM, 5, marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, 5, marks=pytest.mark.soak),
        (signal.SIGKILL, 2),
    ],
)
def test_no_cli_is_left_however_the_server_ends(tmp_path, model, number, seconds):
    with (
        running_gateway(tmp_path, model.url, command=STANDALONE) as gateway,
        mid_turn(gateway, model),
    ):
        processes = gateway.cli_processes
        assert processes
        gateway.process.send_signal(number)
        assert not left_after(seconds, processes)
        assert gateway.process.wait(10) is not None
    assert model.requests[-1].abandoned.wait(1)


@pytest.mark.soak
def test_reloading_leaves_no_cli(tmp_path, model):
    options = ("--ServerApp.autoreload=True",)
    with (
        running_gateway(tmp_path, model.url, *options, command=STANDALONE) as gateway,
        mid_turn(gateway, model, tokens=30),  # the first look is after 0.5 s
    ):
        processes = gateway.cli_processes
        assert processes
        os.utime(sse.__file__)  # a source file changes
        assert not left_after(2, processes)
        assert gateway.process.poll() is None


@pytest.mark.soak
def test_installed_but_unused_it_starts_nothing(tmp_path, model):
    with running_gateway(tmp_path, model.url) as gateway:
        assert gateway.cli_processes == []


@pytest.mark.soak
def test_it_works_below_a_base_url(tmp_path, model):
    options = ("--ServerApp.base_url=/user/me/",)
    with running_gateway(tmp_path, model.url, *options) as gateway:
        assert gateway.base_url.endswith("/user/me/v1")
        with client_of(gateway) as client:
            answer = client.chat.completions.create(**QUESTION)
    assert answer.choices[0].message.content == "hi"


def start_and_fail(tmp_path, *options, env=()):
    return subprocess.run(
        [sys.executable, "-m", "jupyter", *STANDALONE, "--allow-root", *options],
        env=hermetic_environment(tmp_path, "http://127.0.0.1:9") | dict(env),
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.soak
@pytest.mark.parametrize("address", ["0.0.0.0", ""])
def test_alone_beyond_loopback_it_does_not_start_without_a_key(tmp_path, address):
    ended = start_and_fail(tmp_path, f"--ServerApp.ip={address}", "--port=0")
    assert ended.returncode == 1
    assert "--require-auth" in ended.stderr


@pytest.mark.soak
def test_alone_under_a_hub_it_does_not_start_without_a_key(tmp_path):
    env = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ann/", "JUPYTERHUB_USER": "ann"}
    ended = start_and_fail(tmp_path, "--port=0", env=env)
    assert ended.returncode == 1
    assert "JupyterHub" in ended.stderr
    assert "--require-auth" in ended.stderr


def test_taken_port_is_an_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start_and_fail(tmp_path, f"--port={port}")
    assert ended.returncode == 1
    assert f"port {port} is not available" in ended.stderr
    assert f"jupyter claude-gateway --port={port + 1}" in ended.stderr


@pytest.fixture
def socket_path():
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield os.path.join(directory, "g.sock")


def test_alone_it_starts_on_a_socket_and_says_how_it_is_reached(
    tmp_path, model, socket_path
):
    option = f"--ServerApp.sock={socket_path}"
    with running_gateway(tmp_path, model.url, option, command=STANDALONE) as gateway:
        log = gateway.wait_for_log("Projects are directories")
        assert gateway.base_url == "http://localhost/v1"
        with (
            httpx2.Client(transport=httpx2.HTTPTransport(uds=socket_path)) as http,
            client_of(gateway, api_key="none", http_client=http) as client,
        ):
            assert client.chat.completions.create(**QUESTION).choices
    place = f"http://localhost/v1 over the unix socket {socket_path}"
    assert f"OPENAI_BASE_URL={place}\n" in log
    assert f"answers at {place}\n" in log
    assert "http+unix" not in log


@pytest.mark.soak
def test_demo_on_a_socket_prints_a_line_to_paste(tmp_path, socket_path):
    options = ("--demo", f"--ServerApp.sock={socket_path}")
    with running_gateway(tmp_path, "", *options, command=STANDALONE) as gateway:
        log = gateway.wait_for_log("curl")
        assert f"curl --unix-socket {socket_path} -N http://localhost/v1/" in log
        gateway.stop()
    assert "export OPENAI_BASE_URL" not in "".join(gateway.log)


NO_KEY = {"ANTHROPIC_API_KEY": ""}


def test_alone_it_says_where_it_is_and_that_the_login_is_missing(tmp_path, model):
    with running_gateway(
        tmp_path, model.url, command=STANDALONE, env=NO_KEY
    ) as gateway:
        log = gateway.wait_for_log("jupyter claude-gateway login")
    assert f"answers at {gateway.base_url}\n" in log
    assert "need no API key" in log
    for word in ("token=", "notebook", "kernel"):
        assert word not in log


def test_one_error_of_the_model_is_one_line_of_the_log(tmp_path, model):
    with (
        running_gateway(tmp_path, model.url, command=STANDALONE) as gateway,
        client_of(gateway) as client,
    ):
        client.models.list()
        before = len(gateway.log)
        model.script(Reply(status=529, error_type="overloaded_error", message="busy"))
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**QUESTION)
        gateway.stop()
    (line,) = [each for each in gateway.log[before:] if each.startswith(("[W", "[E"))]
    assert "503 POST /v1/chat/completions" in line
    assert "overloaded" in line
    assert "busy" in line


@pytest.mark.soak
def test_alone_with_require_auth_a_key_is_needed(tmp_path, model):
    with running_gateway(
        tmp_path, model.url, "--require-auth", command=STANDALONE
    ) as gateway:
        with client_of(gateway) as client:
            assert client.chat.completions.create(**QUESTION)
        with (
            client_of(gateway, api_key="wrong") as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.chat.completions.create(**QUESTION)


# As JupyterHub's, the authorizer looks for what only its own users have.
READ_ONLY = """
from jupyter_server.auth import Authorizer, PasswordIdentityProvider, User

class UserOfAHub(User):
    hub_user = {"scopes": ["access:servers"]}

class Provider(PasswordIdentityProvider):
    async def _get_user(self, handler):
        found = await super()._get_user(handler)
        return found and UserOfAHub(found.username)

class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        allowed = "access:servers" in user.hub_user["scopes"]
        return allowed and (resource != "claude" or action == "read")

c.ServerApp.identity_provider_class = Provider
c.ServerApp.authorizer_class = ReadOnly
"""


@pytest.mark.soak
def test_authorizer_can_allow_reading_and_refuse_asking(tmp_path, model):
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(READ_ONLY)
    with (
        running_gateway(tmp_path, model.url) as gateway,
        client_of(gateway) as client,
    ):
        assert client.models.list().data
        with pytest.raises(openai.PermissionDeniedError, match="execute"):
            client.chat.completions.create(**QUESTION)
        assert model.requests == []
        # It does not know who comes with a key of ours.
        scoped = make_key(gateway, model, "chat")
        for key in (scoped, json.loads(runtime_file(gateway).read_text())["api_key"]):
            with client_of(gateway, api_key=key) as keyed:
                assert keyed.chat.completions.create(**QUESTION).choices


BUG = """
from claude_nb_gateway.turn.reader import TurnReader

def content(self, text, thinking, content=TurnReader._content):
    if "boom" in text:
        raise RuntimeError("a bug, at /secret/path")
    return content(self, text, thinking)

TurnReader._content = content
"""


@pytest.mark.soak
def test_bug_in_mid_stream_is_an_error_and_no_silent_stop(tmp_path, model):
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(BUG)
    model.script(Reply(["a ", "boom"], delay_seconds=0.05))
    with (
        running_gateway(tmp_path, model.url) as gateway,
        client_of(gateway) as client,
    ):
        with pytest.raises(openai.APIError) as error:
            list(client.chat.completions.create(**QUESTION, stream=True))
        assert "/secret" not in error.value.message
        gateway.stop()
    assert "RuntimeError: a bug" in "".join(gateway.log)


@pytest.mark.soak
def test_demo_says_that_it_is_canned(tmp_path):
    with (
        running_gateway(tmp_path, "", "--demo", command=STANDALONE) as gateway,
        client_of(gateway) as client,
    ):
        answer = client.chat.completions.create(**QUESTION)
        assert "answer is canned" in answer.choices[0].message.content


@pytest.mark.soak
def test_demo_prints_a_line_to_paste(tmp_path):
    with running_gateway(tmp_path, "", "--GatewayApp.demo=True") as gateway:
        gateway.stop()
    log = "".join(gateway.log)
    command = log[log.index("curl -N") : log.index("For OpenAI clients")]
    assert gateway.base_url in command
    assert KEY in command


@pytest.mark.soak
def test_cli_that_is_missing_is_a_503(tmp_path, model):
    options = ("--CLIManager.cli_path=/nowhere/claude",)
    with (
        running_gateway(tmp_path, model.url, *options) as gateway,
        client_of(gateway) as client,
        pytest.raises(openai.InternalServerError) as error,
    ):
        client.chat.completions.create(**QUESTION)
    assert error.value.status_code == 503
    assert "pip install claude-agent-sdk" in error.value.message
    assert "/nowhere" not in error.value.message


@pytest.mark.soak
def test_at_the_ceiling_a_request_is_told_to_come_back(tmp_path, model):
    options = ("--CLIManager.max_processes=1", "--CLIManager.queue_timeout_seconds=0.1")
    with (
        running_gateway(tmp_path, model.url, *options) as gateway,
        mid_turn(gateway, model),
        client_of(gateway) as client,
        pytest.raises(openai.RateLimitError) as error,
    ):
        client.chat.completions.create(**QUESTION)
    assert int(error.value.response.headers["retry-after"]) >= 1


@pytest.mark.soak
def test_alias_and_default_model(tmp_path, model):
    options = (
        "--ModelCatalog.model_aliases={'gpt-4o': 'haiku'}",
        "--ModelCatalog.default_model=gpt-4o",
    )
    with (
        running_gateway(tmp_path, model.url, *options) as gateway,
        client_of(gateway) as client,
    ):
        client.chat.completions.create(**QUESTION | {"model": "gpt-4o"})
        client.post(
            "/chat/completions",
            body={"messages": QUESTION["messages"]},
            cast_to=object,
        )
    models = [request.body["model"] for request in model.requests]
    assert len(models) == 2
    assert all("haiku" in name for name in models)


@pytest.mark.soak
def test_silent_stream_is_kept_alive(tmp_path, model):
    model.script(Reply(["a"], first_delay_seconds=1.0))
    options = ("--GatewayApp.keepalive_seconds=0.2",)
    with (
        running_gateway(tmp_path, model.url, *options) as gateway,
        client_of(gateway) as client,
        client.chat.completions.with_streaming_response.create(
            **QUESTION, stream=True
        ) as response,
    ):
        lines = [line for line in response.iter_lines() if line]
    assert lines[0] == ": keep-alive"
    assert lines[-1] == "data: [DONE]"


@pytest.mark.soak
def test_runtime_files_are_gone_afterwards(tmp_path, model):
    with running_gateway(tmp_path, model.url) as gateway:
        with client_of(gateway) as client:
            client.chat.completions.create(**QUESTION)
        assert gateway.stop() == 0
    left = [n for n in os.listdir(tmp_path / "runtime") if "claude" in n]
    assert left == []


@pytest.mark.soak
def test_strict_about_what_has_no_effect(tmp_path, model):
    option = "--GatewayApp.strict_parameters=True"
    with running_gateway(tmp_path, model.url, option) as gateway:
        with client_of(gateway) as client, pytest.raises(openai.BadRequestError) as bad:
            client.chat.completions.create(model="sonnet", messages=[], temperature=0.5)
        assert bad.value.param == "temperature"


@pytest.mark.soak
def test_response_in_the_background_ends_with_the_server(tmp_path, model):
    model.script(Reply(["never"], hang="before"))
    with running_gateway(tmp_path, model.url) as gateway:
        with client_of(gateway) as client:
            client.responses.create(model="sonnet", input="q", background=True)
            model.wait_for_request()
        processes = gateway.cli_processes
        assert processes
        assert gateway.stop() == 0
        assert not any(process.is_running() for process in processes)
        assert "Traceback" not in "".join(gateway.log)
