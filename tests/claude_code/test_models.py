from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.models import ModelCatalog
from claude_nb_gateway.errors import ModelNotFound

REPORTED = [
    {"value": "default", "resolvedModel": "claude-opus-5-5", "displayName": "Default"},
    {"value": "opus", "resolvedModel": "claude-opus-5-5", "displayName": "Opus"},
    {"value": "haiku", "displayName": "Haiku", "description": "Fast"},
]


def catalog(**config):
    catalog = ModelCatalog(**config)
    catalog.update(REPORTED)
    return catalog


@pytest.mark.parametrize(
    "name",
    [
        "opus",
        "haiku",
        "claude-opus-5-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        "claude-3-5-haiku-20241022",
        "claude-sonnet-4-5-20250929[1m]",
        "opus[1m]",
        "best",
        "opusplan",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5@20250929",
    ],
)
def test_names_of_claudes_pass_as_they_are(name):
    assert catalog().resolve(name) == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("openrouter/anthropic/claude-3.5-haiku", "claude-3-5-haiku"),
        ("openai/opus", "opus"),
        ("anthropic:opus", "opus"),
        ("models/opus[1m]", "opus[1m]"),
        ("bedrock/us.anthropic.claude-opus-4-v1:0", "us.anthropic.claude-opus-4-v1:0"),
        ("vertex_ai/claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929"),
        ("~anthropic/claude-sonnet-latest", "claude-sonnet-latest"),
        ("Claude-Sonnet-4-5", "claude-sonnet-4-5"),
        ("OPUS", "opus"),
        ("claude-2.1", "claude-2.1"),
        ("openai/gpt-4o", "opus"),
        ("openai/special", "haiku"),
    ],
)
def test_prefixes_of_routers_are_taken_off(name, meant):
    aliases = {"gpt-4o": "opus", "openai/special": "haiku"}
    assert catalog(model_aliases=aliases).resolve(name) == meant


def test_alias_stands_for_its_model():
    aliases = {"gpt-4o": "opus", "gpt-5": "anthropic/claude-sonnet-4-5"}
    assert catalog(model_aliases=aliases).resolve("gpt-4o") == "opus"
    assert catalog(model_aliases=aliases).resolve("gpt-5") == "claude-sonnet-4-5"
    assert "gpt-4o" in catalog(model_aliases=aliases).ids


def test_alias_of_nothing_is_not_found():
    with pytest.raises(ModelNotFound, match="gpt-4o"):
        catalog(model_aliases={"gpt-4o": "nothing"}).resolve("gpt-4o")


@pytest.mark.parametrize(
    "name",
    [
        "gpt-9",
        "foo",
        "foo[1m]",
        "claude",
        "openai/",
        "foo/opus",
        "claude-x --help",
        "claude-x\n",
        "claude-" + "x" * 1_000,
        "-opus",
    ],
)
def test_unknown_model_names_what_exists(name):
    with pytest.raises(ModelNotFound, match="claude-opus-5-5") as error:
        catalog().resolve(name)
    assert error.value.code == "model_not_found"
    assert len(error.value.message) < 500


def test_ids_of_an_operator_are_listed_and_taken():
    own = catalog(extra_models=["arn:aws:bedrock:x"])
    assert own.resolve("arn:aws:bedrock:x") == "arn:aws:bedrock:x"
    assert "arn:aws:bedrock:x" in own.ids


def test_no_model_is_the_clis_own_default():
    assert catalog().resolve(None) is None
    assert catalog(default_model="haiku").resolve(None) == "haiku"


def test_ids_come_once_each_real_ones_first():
    assert catalog().ids == ["claude-opus-5-5", "haiku", "default", "opus"]
