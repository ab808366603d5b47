from __future__ import annotations

from dataclasses import dataclass

import pytest

from claude_nb_gateway.claude_code.pool.spares import MOST_DEATHS, Spares


@dataclass(eq=False)
class Waiting:
    """What `Spares` knows of a session."""

    setup: object = None


@pytest.fixture
def spares():
    return Spares(2, 4, dismiss=lambda session: None)


@pytest.mark.soak
def test_spares_that_only_die_are_not_replaced_for_ever(spares):
    spares.take(None)
    replaced = 0
    while spares.missing:
        session = Waiting()
        spares.put(session)
        assert spares.discard(session)
        replaced += 1
    assert replaced == MOST_DEATHS
    spares.take(None)
    assert spares.missing == 2
