"""URLs that could mean two things, and those that nearly mean one."""

from __future__ import annotations

import json

import pytest

from claude_nb_gateway.api.not_found import meant

from .apis import body_for, error_of, send
from .resources import http, make_project


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("//chat/completions", "/v1/chat/completions"),
        ("/chat/completions/", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/responses/", "/v1/responses"),
        ("/chat//completions", "/v1/chat/completions"),
    ],
)
def test_path_that_is_nearly_right_is_told_what_was_meant(gateway, path, told):
    answer = send(gateway, path, b"{}")
    message, _, code = error_of(answer)
    assert (answer.status_code, code) == (404, "unknown_url")
    assert f"mean {told}:" in message


def test_slash_too_much_before_v1_is_told_too(gateway):
    root = gateway.base_url.removesuffix("/v1")
    with http(gateway) as client:
        answer = client.post(root + "//v1/chat/completions", json={})
    assert answer.status_code == 404
    assert "mean /v1/chat/completions:" in error_of(answer)[0]


def test_path_that_is_nothing_is_not_guessed_at(gateway):
    message, _, code = error_of(send(gateway, "/nothing/", b"{}"))
    assert code == "unknown_url"
    assert "mean" not in message


def test_v1_is_left_out_where_it_is_first_too_often():
    known = ["/a/v1/models/v1/v1"]
    assert meant("/a/v1/v1/v1/models/v1/v1", known) == known[0]


def test_v1_a_million_times_takes_little_time():
    assert meant("/v1" * 1_000_000 + "/models", ["/v1/models"]) == "/v1/models"


NAMES = [
    "models",
    "messages",
    "responses",
    "completions",
    "chat/completions",
    "a/models",
    "a/messages",
    "a/responses",
    "a/completions",
    "a/models/responses/messages",
    "a/responses/compact",
    "a/responses/compact/models/messages",
    "v1",
    "a/v1",
    "v1/v1",
    "projects",
    "sessions",
    "openapi.json",
    "a/count_tokens",
    "resp_1",
]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "api"),
    [
        ("models", "responses"),
        ("completions", "completions"),
        ("a/responses", "messages"),
        ("a/responses", "chat/completions"),
        ("a/models/responses/messages", "messages"),
    ],
)
def test_directory_called_like_an_api_is_worked_in(gateway, model, name, api):
    (gateway.directory / name).mkdir(parents=True, exist_ok=True)
    body = json.dumps(body_for(api, model="sonnet")).encode()
    answer = send(gateway, f"/projects/{name}/{api}", body)
    assert answer.status_code == 200, answer.text
    assert str(gateway.directory / name) in str(model.requests[0].body)


@pytest.mark.parametrize("name", NAMES)
def test_directory_called_like_an_api_is_a_project(gateway, name):
    with http(gateway) as client:
        made = make_project(client, name)
        assert client.get(f"projects/{name.replace('/', '%2F')}").json() == made
        if not name.endswith("/models"):  # which lists models
            assert client.get(f"projects/{name}").json() == made
        changed = client.patch(f"projects/{name}", json={"description": "d"})
        assert changed.json()["description"] == "d"
        assert client.get(f"projects/{name}/models").json()["object"] == "list"
        assert client.delete(f"projects/{name}").json()["deleted"] is True
