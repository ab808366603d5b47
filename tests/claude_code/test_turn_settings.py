from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.profile import PLAIN, Launch
from claude_nb_gateway.claude_code.turn_settings import (
    MAX_OUTPUT_TOKENS,
    MIN_THINKING_TOKENS,
    TurnSettings,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def sent():
    return []


@pytest.fixture
def apply(sent):
    async def control(subtype, **fields):
        sent.append((subtype, fields))
        return {}

    async def apply(settings, model=None, effort=None, max_output_tokens=None):
        sent.clear()
        await settings.apply(
            control, model=model, effort=effort, max_output_tokens=max_output_tokens
        )
        return list(sent)

    return apply


async def test_nothing_is_sent_if_nothing_changes(apply):
    assert await apply(TurnSettings(PLAIN)) == []
    launched = TurnSettings(Launch(model="haiku", effort="low"))
    assert await apply(launched, "haiku", "low") == []


async def test_only_what_differs_is_sent(apply):
    settings = TurnSettings(PLAIN)
    ((subtype, fields),) = await apply(settings, "haiku", max_output_tokens=5_000)
    assert subtype == "apply_flag_settings"
    assert fields["settings"] == {"model": "haiku", "env": {MAX_OUTPUT_TOKENS: "5000"}}
    ((_, fields),) = await apply(settings, "haiku", "low", 5_000)
    assert fields["settings"] == {"effortLevel": "low"}


async def test_default_is_set_back(apply):
    settings = TurnSettings(PLAIN)
    await apply(settings, "haiku", "low", 5_000)
    ((_, fields),) = await apply(settings)
    assert fields["settings"] == {
        "model": None,
        "effortLevel": None,
        "env": {MAX_OUTPUT_TOKENS: None},
    }


async def test_answer_too_short_for_thinking_has_none(apply):
    settings = TurnSettings(PLAIN)
    *_, (subtype, fields) = await apply(settings, max_output_tokens=MIN_THINKING_TOKENS)
    assert (subtype, fields) == (
        "set_max_thinking_tokens",
        {"max_thinking_tokens": 0},
    )
    *_, (subtype, fields) = await apply(settings, max_output_tokens=2_000)
    assert fields == {"max_thinking_tokens": None}
