from __future__ import annotations

import pytest

from claude_nb_gateway.access.keys import KEY_PREFIX, key_id, matches, new_key, refusal
from claude_nb_gateway.store.records import KeyRecord


def test_key_is_known_by_its_id_and_checked_by_its_hash():
    text, identity, key_hash = new_key()
    record = KeyRecord(identity, "ci", key_hash)
    assert text.startswith(f"{KEY_PREFIX}{identity}_")
    assert key_id(text) == identity
    assert matches(text, record)
    assert not matches(new_key()[0], record)
    assert text not in repr(record)


def test_no_two_keys_are_the_same():
    assert len({new_key() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[1:],
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text + "\n",
        lambda text: text.upper(),
        lambda text: text.replace("_", "-"),
        lambda text: text[:-1] + "ä",
        lambda text: text[:-1] + "\ud800",
    ],
)
def test_what_has_not_the_form_of_a_key_is_none(spoil):
    text, identity, key_hash = new_key()
    assert key_id(spoil(text)) is None
    assert not matches(spoil(text), KeyRecord(identity, "ci", key_hash))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, ""),
        ({"expires_at": 101.0}, ""),
        ({"expires_at": 100.0}, "expired"),
        ({"revoked_at": 99.0}, "revoked"),
        ({"revoked_at": 99.0, "expires_at": 1.0}, "revoked"),
    ],
)
def test_refusal_says_why(fields, says):
    refused = refusal(KeyRecord("1", "ci", "00", **fields), now=100.0)
    assert bool(refused) == bool(says)
    assert says in refused
