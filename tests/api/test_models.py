from __future__ import annotations

import openai
import pytest

from claude_nb_gateway.demo.model import Reply

from .apis import APIS, error_of, post


def test_list_has_the_clis_models(client):
    models = {model.id: model for model in client.models.list()}
    assert {"opus", "sonnet", "haiku", "claude-sonnet-5-5"} <= models.keys()
    assert {model.object for model in models.values()} == {"model"}


def test_every_listed_model_can_be_looked_up(client):
    for model in client.models.list():
        assert client.models.retrieve(model.id).id == model.id


@pytest.mark.parametrize(
    "name", ["claude-3-5-sonnet-20241022", "anthropic/claude-sonnet-4-5", "sonnet[1m]"]
)
def test_other_names_of_claudes_can_be_looked_up(client, name):
    model = client.models.retrieve(name)
    assert model.id == name
    assert model.created == (1729555200 if name.endswith("20241022") else 0)


def test_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError, match="sonnet") as error:
        client.models.retrieve("gpt-4o")
    assert error.value.code == "model_not_found"


@pytest.mark.soak
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-opus-4-1-20250805", "claude-opus-5-5"),  # by the CLI
        (None, "claude-opus-5-5"),  # by the CLI too
    ],
)
def test_names_of_claudes_are_asked(gateway, model, api, name, asked):
    answer = post(gateway, api, **({"model": name} if name else {}))
    assert answer.status_code == 200, answer.text
    assert model.requests[0].body["model"] == asked
    assert answer.json()["model"] == asked


@pytest.mark.soak
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", [False, True])
def test_model_that_the_api_does_not_know_is_not_found(gateway, model, api, stream):
    said = {"error_type": "not_found_error", "message": "model: claude-nothing-9"}
    model.responder = lambda request: Reply(status=404, **said)
    answer = post(gateway, api, model="claude-nothing-9", stream=stream)
    message, kind, code = error_of(answer)
    assert answer.status_code == 404
    assert "claude-nothing-9" in message
    assert "sonnet" in message
    if api == "messages":
        assert kind == "not_found_error"
    else:
        assert (kind, code) == ("invalid_request_error", "model_not_found")


@pytest.mark.parametrize("api", APIS)
def test_made_up_model_is_not_found(gateway, model, api):
    answer = post(gateway, api, model="foo")
    assert answer.status_code == 404
    assert "sonnet" in error_of(answer)[0]
    assert model.requests == []
