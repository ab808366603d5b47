from __future__ import annotations

import openai
import pytest

from claude_nb_gateway.claude.models import UNLISTED_MODELS


def test_list_has_the_clis_models_and_the_unlisted(client):
    models = {model.id: model for model in client.models.list()}
    assert {"opus", "sonnet", "haiku", *UNLISTED_MODELS} <= models.keys()
    assert models["claude-3-5-sonnet-20241022"].created == 1729555200
    assert {model.object for model in models.values()} == {"model"}


def test_every_listed_model_can_be_looked_up(client):
    for model in client.models.list():
        assert client.models.retrieve(model.id).id == model.id


def test_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("gpt-4o")
    assert error.value.code == "model_not_found"
