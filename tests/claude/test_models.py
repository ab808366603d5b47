from __future__ import annotations

import pytest

from claude_nb_gateway.claude.models import UNLISTED_MODELS, ModelCatalog
from claude_nb_gateway.errors import InvalidRequest, ModelNotFound

REPORTED = [
    {"value": "default", "resolvedModel": "claude-opus-5-5", "displayName": "Default"},
    {"value": "opus", "resolvedModel": "claude-opus-5-5", "displayName": "Opus"},
    {"value": "haiku", "displayName": "Haiku", "description": "Fast"},
]


def catalog(**config):
    catalog = ModelCatalog(**config)
    catalog.update(REPORTED)
    return catalog


@pytest.mark.parametrize("name", ["opus", "claude-opus-5-5", "haiku", *UNLISTED_MODELS])
def test_names_of_the_cli_pass_as_they_are(name):
    assert catalog().resolve(name) == name


def test_alias_stands_for_its_model():
    aliases = {"gpt-4o": "opus"}
    assert catalog(model_aliases=aliases).resolve("gpt-4o") == "opus"
    assert "gpt-4o" in catalog(model_aliases=aliases).ids


def test_alias_of_nothing_is_not_found():
    with pytest.raises(ModelNotFound, match="gpt-4o"):
        catalog(model_aliases={"gpt-4o": "nothing"}).resolve("gpt-4o")


def test_unknown_model_names_what_exists():
    with pytest.raises(ModelNotFound, match="claude-opus-5-5") as error:
        catalog().resolve("gpt-9")
    assert error.value.code == "model_not_found"


def test_no_model_needs_a_default():
    with pytest.raises(InvalidRequest, match="`model` is missing"):
        catalog().resolve(None)
    assert catalog(default_model="haiku").resolve(None) == "haiku"


def test_ids_come_once_each_real_ones_first():
    ids = catalog().ids
    assert ids[:2] == ["claude-opus-5-5", "haiku"]
    assert len(ids) == len(set(ids))
