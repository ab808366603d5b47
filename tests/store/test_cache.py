"""The cache is bounded, and holds nothing from before a change."""

from __future__ import annotations

import pytest

from claude_nb_gateway.store.cache import Cache

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


def kept(cache, keys):
    return [key for key in keys if cache.get(key) is not None]


def test_value_is_kept_until_it_is_forgotten():
    cache = Cache()
    assert cache.get("a") is None
    cache.put("a", 1)
    cache.put("a", 2)
    assert (cache.get("a"), len(cache)) == (2, 1)
    cache.forget("a")
    cache.forget("a")
    assert (cache.get("a"), len(cache)) == (None, 0)


def test_old_values_are_forgotten():
    cache = Cache(max_age_seconds=2, clock=(clock := Clock()))
    cache.put("a", 1)
    clock.now += 1.9
    assert cache.get("a") == 1
    clock.now += 0.1
    assert cache.get("a") is None
    assert len(cache) == 0


def test_use_does_not_make_a_value_younger():
    cache = Cache(max_age_seconds=2, clock=(clock := Clock()))
    cache.put("a", 1)
    for _ in range(4):
        clock.now += 0.5
        found = cache.get("a")
    assert found is None
    cache.put("a", 2)
    assert cache.get("a") == 2


def test_least_recently_used_value_makes_room():
    cache = Cache(max_entries=3)
    for key in "abc":
        cache.put(key, 1)
    cache.get("a")
    cache.put("d", 1)
    assert kept(cache, "abcd") == ["a", "c", "d"]


def test_weight_is_bounded():
    cache = Cache(max_weight=10, weigh=len)
    for number in range(100):
        cache.put(number, "x" * 4)
    assert (cache.weight, len(cache)) == (8, 2)
    assert kept(cache, range(100)) == [98, 99]
    cache.put(99, "x" * 6)
    assert cache.weight == 10
    cache.forget(98)
    assert cache.weight == 6


def test_newest_value_stays_however_heavy():
    cache = Cache(max_weight=10, weigh=len)
    cache.put("a", "x")
    cache.put("b", "x" * 100)
    assert kept(cache, "ab") == ["b"]
    cache.put("c", "x")
    assert kept(cache, "bc") == ["c"]


def test_weight_of_nothing_is_nothing():
    cache = Cache(weigh=len)
    cache.put("a", "xxx")
    cache.clear()
    assert (cache.weight, len(cache)) == (0, 0)


async def test_query_is_made_once():
    asked = []

    async def query(key):
        asked.append(key)
        return key.upper()

    cache = Cache(max_age_seconds=2, clock=(clock := Clock()))
    assert [await cache.load("a", query) for _ in range(3)] == ["A"] * 3
    assert asked == ["a"]
    clock.now += 2
    assert await cache.load("a", query) == "A"
    assert asked == ["a", "a"]


async def test_nothing_is_asked_for_again():
    answers = [None, 1]

    async def query(key):
        return answers.pop(0)

    cache = Cache()
    assert [await cache.load("a", query) for _ in range(3)] == [None, 1, 1]


async def test_failed_query_stores_nothing():
    async def query(key):
        raise ValueError(key)

    cache = Cache()
    with pytest.raises(ValueError, match="a"):
        await cache.load("a", query)
    assert len(cache) == 0


async def test_result_from_before_a_change_is_not_stored():
    async def query(key):
        cache.clear()  # while the database answers
        return "old"

    cache = Cache()
    assert await cache.load("a", query) == "old"
    assert cache.get("a") is None
    generation = cache.generation
    cache.put("a", "new", generation)
    assert cache.get("a") == "new"
    cache.clear()
    cache.put("a", "old", generation)
    assert cache.get("a") is None
