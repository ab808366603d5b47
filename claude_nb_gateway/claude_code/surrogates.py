r"""Replace lone surrogates: halves of characters. Pure.

JavaScript writes them: a text that was cut in the middle of an emoji ends in a lone
surrogate, ``\ud83d`` in JSON. JSON in UTF-8 cannot hold one, and no other module of
this package accepts one. They are replaced by U+FFFD.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()

#: Maximum number of escapes in a text to repair. More would block the event loop for
#: too long.
MAX_ESCAPES = 100_000

_HIGH = tuple(first + second for first in "dD" for second in "89abAB")
_LOW = tuple(first + second for first in "dD" for second in "cdefCDEF")


def repaired_json(text: str) -> str:
    """The JSON `text` with U+FFFD for every escape of a lone surrogate.

    A text with more than `MAX_ESCAPES` escapes is returned unchanged.
    """
    # Counted first: to split a large text into millions of pieces takes seconds.
    if text.count(r"\u") > MAX_ESCAPES:
        return text
    pieces = without_lone_surrogates(text).split(r"\u")
    at = 1
    while at < len(pieces):
        if _is_surrogate(pieces, at, _HIGH) and pieces[at][4:] == "":
            at += 1
            if at < len(pieces) and _is_surrogate(pieces, at, _LOW):
                at += 1
                continue
            pieces[at - 1] = "fffd"
        elif _is_surrogate(pieces, at, _HIGH + _LOW):
            pieces[at] = "fffd" + pieces[at][4:]
            at += 1
        else:
            at += 1
    return r"\u".join(pieces)


def _is_surrogate(pieces: list[str], at: int, prefixes: tuple[str, ...]) -> bool:
    if not pieces[at].startswith(prefixes):
        return False
    # A backslash that is itself escaped does not start an escape.
    before = pieces[at - 1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 0


def without_lone_surrogates(text: str) -> str:
    """`text` with its pairs of surrogates joined, and U+FFFD for lone ones."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def encode(value: Any) -> bytes:
    """`value` as JSON in UTF-8, even if it contains lone surrogates."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return repaired_json(json.dumps(msgspec.to_builtins(value))).encode()
