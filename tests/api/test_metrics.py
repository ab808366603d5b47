"""What the server's `/metrics` says after requests to the real CLI."""

from __future__ import annotations

import contextlib
import socket
import time
from datetime import datetime
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tornado.web import RequestHandler

from claude_nb_gateway import metrics
from claude_nb_gateway.api import activity
from claude_nb_gateway.api.access_log import UNKNOWN_METHOD
from claude_nb_gateway.claude_code.protocol import ModelUsage, Result
from claude_nb_gateway.claude_code.usage import UsageMeter
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of


def scrape(gateway):
    """All samples of ours, by name and the values of the labels, sorted by label."""
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for sample in samples(gateway)
        if sample.name.startswith("claude_gateway")
    }


def samples(gateway):
    """All samples."""
    url = gateway.base_url.removesuffix("/v1") + "/metrics"
    headers = {"Authorization": f"Bearer {gateway.key}"}
    text = httpx2.get(url, headers=headers).raise_for_status().text
    for family in text_string_to_metric_families(text):
        yield from family.samples


@contextlib.contextmanager
def counted(gateway):
    """What has changed within the context, filled in at its end."""
    before = scrape(gateway)
    changed = {}
    yield changed
    after = scrape(gateway)
    for key, value in after.items():
        if value != before.get(key, 0):
            changed[key] = value - before.get(key, 0)


def wait_for_more(gateway, before, *key):
    """Ask until more is counted than was `before`."""
    deadline = time.monotonic() + 10
    while scrape(gateway).get(key, 0) <= before.get(key, 0):
        assert time.monotonic() < deadline, key


def test_an_answer_is_counted(gateway, model, ask):
    usage = {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 7}
    model.script(Reply(["x"], model="claude-sonnet-4-5", usage=usage))
    with counted(gateway) as changed:
        ask("hi")
    name = "claude_gateway_requests_total"
    assert changed[name, "chat.completions", "answered"] == 1
    assert changed["claude_gateway_turns_total", "completed"] == 1
    assert changed["claude_gateway_first_token_seconds_count",] == 1
    tokens = {k[1]: v for k, v in changed.items() if k[0].endswith("tokens_total")}
    assert tokens == {"input": 3, "cache_read": 5, "output": 7}
    (cost,) = [v for k, v in changed.items() if k[0].endswith("cost_usd_total")]
    assert cost > 0


def test_a_continued_session_is_counted(gateway, model, ask):
    model.script(Reply(["one"]))
    ask("hi")
    with counted(gateway) as changed:
        ask("hi", ("assistant", "one"), "again")
    assert changed["claude_gateway_sessions_total", "live"] == 1


@pytest.mark.parametrize(
    ("reply", "status", "outcome"),
    [
        (Reply(status=429), 429, "limited"),
        (Reply(status=500), 502, "failed"),
    ],
)
def test_a_failure_is_counted(gateway, model, ask, reply, status, outcome):
    model.script(reply)
    with counted(gateway) as changed, pytest.raises(openai.APIStatusError) as caught:
        ask("hi")
    assert caught.value.status_code == status
    name = "claude_gateway_requests_total"
    assert changed[name, "chat.completions", outcome] == 1
    assert changed["claude_gateway_turns_total", "failed"] == 1


def test_a_refused_request_is_counted_and_runs_no_turn(gateway, ask):
    with counted(gateway) as changed, pytest.raises(openai.BadRequestError):
        ask("hi", n=2)
    name = "claude_gateway_requests_total"
    assert changed[name, "chat.completions", "refused"] == 1
    assert not [key for key in changed if key[0] == "claude_gateway_turns_total"]


@pytest.mark.soak
def test_a_failure_after_the_first_words_is_counted(gateway, model, ask):
    model.script(Reply(["a ", "b "], drop_after=1), Reply(status=500))
    with counted(gateway) as changed, pytest.raises(openai.APIError):
        list(ask("hi", stream=True))
    name = "claude_gateway_requests_total"
    assert changed[name, "chat.completions", "failed"] == 1


@pytest.mark.soak
def test_an_abandoned_request_is_counted(gateway, model, ask):
    model.script(Reply(["a "], hang="after"))
    with counted(gateway) as changed:
        before = scrape(gateway)
        with ask("hi", stream=True) as stream:
            next(iter(stream))
        # The CLI leaves the model first, and then says how the turn ended.
        assert model.requests[0].abandoned.wait(5)
        wait_for_more(gateway, before, "claude_gateway_turns_total", "interrupted")
    name = "claude_gateway_requests_total"
    assert changed[name, "chat.completions", "abandoned"] == 1
    assert changed["claude_gateway_turns_total", "interrupted"] == 1


@pytest.mark.soak
def test_processes_are_counted_by_kind(tmp_path, model):
    options = ("--CLIManager.max_processes=1", "--CLIManager.spare_processes=0")
    with (
        running_gateway(tmp_path, model.url, *options) as gateway,
        client_of(gateway) as client,
    ):
        model.script(Reply(["a "], hang="after"))
        question = {"role": "user", "content": "hi"}
        with client.chat.completions.create(
            model="sonnet", messages=[question], stream=True
        ) as stream:
            next(iter(stream))
            during = scrape(gateway)
        assert during["claude_gateway_processes", "busy"] == 1
        assert during["claude_gateway_processes", "idle"] == 0
        assert during["claude_gateway_queue_length",] == 0
        assert during["claude_gateway_sessions_total", "started"] == 1
        assert during["claude_gateway_queue_wait_seconds_count",] == 1
        client.chat.completions.create(model="sonnet", messages=[question])
        after = scrape(gateway)
    assert after["claude_gateway_processes", "idle"] == 1
    assert after["claude_gateway_processes", "busy"] == 0


@pytest.mark.soak
def test_standing_alone_it_is_served_too(standalone_gateway):
    assert ("claude_gateway_queue_length",) in scrape(standalone_gateway)


def test_it_is_not_for_everybody(gateway):
    url = gateway.base_url.removesuffix("/v1") + "/metrics"
    assert httpx2.get(url).status_code == 403


def test_made_up_methods_are_one_line(gateway, model):
    url = urlsplit(gateway.base_url)
    for path in ("/v1/models", "/v1/nothing", "/api/status"):
        for method in ("FOO", "BAR", "PROPFIND"):
            with socket.create_connection((url.hostname, url.port), 10) as connection:
                head = f"{method} {path} HTTP/1.1\r\nHost: {url.netloc}\r\n"
                connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 4")
    methods = {sample.labels.get("method") for sample in samples(gateway)}
    assert methods - {None} <= {*RequestHandler.SUPPORTED_METHODS, UNKNOWN_METHOD}
    assert UNKNOWN_METHOD in methods


def test_made_up_models_are_one_line():
    used = ModelUsage(input_tokens=1)
    for number in range(3 * metrics.MAX_MODELS):
        result = Result(usage_since_last={f"claude-made-up-{number}": used})
        UsageMeter().taken(result)
    names = {
        sample.labels["model"]
        for family in metrics.TOKENS.collect()
        for sample in family.samples
    }
    assert len(names) <= metrics.MAX_MODELS + 1
    assert metrics.OTHER_MODELS in names


def last_activity(gateway):
    # Asking must not itself count as activity.
    url = gateway.base_url.removesuffix("/v1") + "/api/status?no_track_activity=1"
    headers = {"Authorization": f"Bearer {gateway.key}"}
    answer = httpx2.get(url, headers=headers).raise_for_status().json()
    return datetime.fromisoformat(answer["last_activity"])


@pytest.mark.soak
def test_running_turn_is_activity_of_the_server(gateway, model, ask):
    model.script(Reply(["a "], hang="after"))
    with ask("hi", stream=True) as stream:
        next(iter(stream))
        began = last_activity(gateway)
        deadline = time.monotonic() + 4 * activity.EVERY_SECONDS
        while last_activity(gateway) == began and time.monotonic() < deadline:
            assert not model.requests[0].abandoned.wait(0.5)
        assert last_activity(gateway) > began
