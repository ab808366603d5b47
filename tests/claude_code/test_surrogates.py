from __future__ import annotations

import time

import pytest

from claude_nb_gateway.claude_code.surrogates import (
    encode,
    repaired_json,
    without_lone_surrogates,
)


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (r'"a\ud83d"', r'"a\ufffd"'),
        (r'"\udE00b"', r'"\ufffdb"'),
        (r'"\ud83d\ud83d\ude00"', r'"\ufffd\ud83d\ude00"'),
        (r'"\\ud83d"', r'"\\ud83d"'),
        (r'"\\\ud83d"', r'"\\\ufffd"'),
        (r'"\u00e9\n"', r'"\u00e9\n"'),
        ('"plain"', '"plain"'),
    ],
)
def test_only_lone_surrogates_are_replaced(text, repaired):
    assert repaired_json(text) == repaired


@pytest.mark.soak
@pytest.mark.parametrize("piece", [r"\\", r"\ud83d", "x", r"\ud83d\ude00"])
def test_large_texts_are_repaired_within_a_second(piece):
    text = piece * (32 * 2**20 // len(piece))
    begun = time.process_time()
    repaired_json(text + r"\u0020")
    assert time.process_time() - begun < 1


def test_surrogate_pairs_are_joined():
    assert without_lone_surrogates("\ud83d\ude00 \ud83d") == "\U0001f600 �"


def test_anything_can_be_encoded():
    assert encode({"\ud83d": ["é\ude00"]}) == rb'{"\ufffd": ["\u00e9\ufffd"]}'
