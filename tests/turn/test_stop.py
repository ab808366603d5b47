from __future__ import annotations

import pytest

from claude_nb_gateway.turn.stop import StopSequences


def cut(text, *sequences, size=1):
    stop = StopSequences(sequences)
    passed = ""
    for start in range(0, len(text), size):
        passed += stop.add(text[start : start + size])
        if stop.reached:
            return passed
    return passed + stop.rest()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "sequences", "expected"),
    [
        ("one END two", ["END"], "one "),
        ("one EN two", ["END"], "one EN two"),
        ("one EN", ["END"], "one EN"),
        ("EEND", ["END"], "E"),
        ("ababac", ["abac"], "ab"),
        ("a<stop>b", ["</s>", "<stop>"], "a"),
        ("x b y a z", ["a", "b"], "x "),
        ("text", [], "text"),
        ("END", ["END"], ""),
    ],
)
def test_text_is_cut_at_the_first_sequence(text, sequences, expected, size):
    assert cut(text, *sequences, size=size) == expected


def test_only_what_may_begin_a_sequence_is_held_back():
    stop = StopSequences(["END"])
    assert stop.add("abc") == "abc"
    assert stop.add("E") == ""
    assert stop.add("x") == "Ex"


def test_what_may_begin_the_longest_is_held_back():
    stop = StopSequences(["bcx", "abcx", "bcx"])
    assert stop.add("abc") == ""
    assert stop.add("d") == "abcd"
