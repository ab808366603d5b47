"""What reaches the model's API is what a client asked for."""

from __future__ import annotations

import json

import pytest

from .apis import APIS, post
from .resources import chat, http, words

TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


@pytest.mark.parametrize("api", APIS)
def test_one_question_is_one_request(gateway, model, api):
    assert post(gateway, api, model="sonnet").status_code == 200
    assert (len(model.requests), model.elsewhere) == (1, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"project_id": "."},
        {"model": "haiku"},
        {"reasoning_effort": "high", "max_tokens": 50},
    ],
    ids=json.dumps,
)
def test_nor_is_more_asked_for_what_else_a_request_has(gateway, model, fields):
    with http(gateway) as client:
        assert words(chat(client, **fields)) == "hello"
    assert (len(model.requests), model.elsewhere) == (1, [])


def test_sessions_are_made_listed_and_forked_without_the_model(gateway, model):
    with http(gateway) as client:
        made = client.post("sessions", json={}).json()
        words(chat(client, session_id=made["id"]))
        forked = client.post(f"sessions/{made['id']}/fork", json={}).json()
        words(chat(client, "again", session_id=forked["id"]))
        client.get(f"sessions/{made['id']}")
        client.get("models")
    assert (len(model.requests), model.elsewhere) == (2, [])
