from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.pool.spares import (
    BURST_SECONDS,
    MAX_DEATHS,
    MEMORY_SECONDS,
    REMEMBERED_SETUPS,
    Spares,
)
from claude_nb_gateway.claude_code.turns import Setup

from .sessions import Waiting

BRIEF = Setup("sonnet", system=("Be brief.",))
PIRATE = Setup("sonnet", system=("Be a pirate.",))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dismissed():
    return []


@pytest.fixture
def spares(clock, dismissed):
    return Spares(2, 4, dismiss=dismissed.append, clock=clock)


def test_there_are_none_before_the_first_conversation(spares):
    assert spares.missing == 0
    spares.take(None)
    assert spares.missing == 2


def test_prepared_spare_comes_before_a_plain_one(spares):
    spares.take(BRIEF)
    plain, prepared = Waiting(), Waiting(BRIEF)
    spares.put(plain)
    spares.put(prepared)
    assert spares.take(BRIEF) is prepared
    assert spares.take(BRIEF) is plain
    assert spares.take(BRIEF) is None


def test_spare_for_another_setup_is_not_taken(spares):
    spares.take(BRIEF)
    prepared = Waiting(BRIEF)
    spares.put(prepared)
    assert spares.take(PIRATE) is None
    assert prepared in spares


def test_one_stays_plain_and_the_others_are_prepared_for_recent_setups(spares):
    spares.take(BRIEF)
    assert spares.setup_to_prepare() is None
    spares.put(Waiting())
    assert spares.setup_to_prepare() == BRIEF
    spares.put(Waiting(BRIEF))
    assert spares.setup_to_prepare() is None


def test_spare_whose_setup_is_forgotten_is_dismissed(spares, dismissed):
    spares.take(BRIEF)
    prepared = Waiting(BRIEF)
    spares.put(prepared)
    for _ in range(REMEMBERED_SETUPS):
        spares.take(PIRATE)
    assert dismissed == [prepared]


def test_number_grows_with_bursts_and_falls_again(spares, clock):
    for _ in range(3):
        spares.take(None)
    assert spares.wanted == 3
    for _ in range(3):
        spares.take(None)
    assert spares.wanted == 4
    clock.now += MEMORY_SECONDS + 1
    assert spares.wanted == 2


def test_conversations_that_are_apart_are_no_burst(spares, clock):
    for _ in range(5):
        spares.take(None)
        clock.now += BURST_SECONDS + 1
    assert spares.wanted == 2


def test_prepared_spares_are_given_up_first(spares):
    plain, prepared = Waiting(), Waiting(BRIEF)
    spares.put(plain)
    spares.put(prepared)
    least = [spares.take_least_useful() for _ in range(3)]
    assert least == [prepared, plain, None]


def test_clearing_ends_the_demand(spares, dismissed):
    spares.take(None)
    spare = Waiting()
    spares.put(spare)
    spares.clear()
    assert dismissed == [spare]
    assert spares.missing == 0


def test_spares_that_only_die_are_not_replaced_for_ever(spares):
    spares.take(None)
    replaced = 0
    while spares.missing:
        session = Waiting()
        spares.put(session)
        assert spares.discard_dead(session)
        replaced += 1
    assert replaced == MAX_DEATHS
    spares.take(None)
    assert spares.missing == 2
