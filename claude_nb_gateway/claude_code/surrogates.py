r"""Halves of characters, which JavaScript writes and JSON in UTF-8 cannot hold. Pure.

A text that was cut in the middle of an emoji ends in a lone surrogate, ``\ud83d`` in
JSON. Nothing else in this package can take one; U+FFFD stands for it.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()

# With more escapes than these a text is not mended: that takes too long to be done
# between two requests.
MOST_ESCAPES = 100_000

_HIGH = tuple(first + second for first in "dD" for second in "89abAB")
_LOW = tuple(first + second for first in "dD" for second in "cdefCDEF")


def mended_json(text: str) -> str:
    """The JSON `text` with U+FFFD for every escape that is half a character."""
    pieces = without_halves(text).split(r"\u")
    if len(pieces) > MOST_ESCAPES:
        return text
    at = 1
    while at < len(pieces):
        if _is_half(pieces, at, _HIGH) and pieces[at][4:] == "":
            at += 1
            if at < len(pieces) and _is_half(pieces, at, _LOW):
                at += 1
                continue
            pieces[at - 1] = "fffd"
        elif _is_half(pieces, at, _HIGH + _LOW):
            pieces[at] = "fffd" + pieces[at][4:]
            at += 1
        else:
            at += 1
    return r"\u".join(pieces)


def _is_half(pieces: list[str], at: int, beginnings: tuple[str, ...]) -> bool:
    if not pieces[at].startswith(beginnings):
        return False
    # A backslash that is escaped itself begins no escape.
    before = pieces[at - 1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 0


def without_halves(text: str) -> str:
    """`text` with its pairs of surrogates joined, and U+FFFD for lone ones."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def encode(value: Any) -> bytes:
    """`value` as JSON, also if there are halves of characters in it."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return mended_json(json.dumps(msgspec.to_builtins(value))).encode()
