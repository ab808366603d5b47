"""Refuses bodies that would take too long to decode. Pure."""

from __future__ import annotations

from ..errors import InvalidRequest

#: Maximum number of objects, arrays and members of them in a body. Some 40,000 messages
#: have so many. The length of text and base64 does not count.
MOST_VALUES = 150_000

# A value takes at least two bytes.
_SMALL_BYTES = 2 * MOST_VALUES


def check_values(body: bytes) -> None:
    """Raise InvalidRequest if `body`, which should be JSON, has too many values.

    The time to decode a body grows with the number of its values, and nobody else is
    answered meanwhile. Counting them takes some milliseconds.
    """
    if len(body) <= _SMALL_BYTES:
        return
    # Without escaped characters, each quotation mark begins or ends a text.
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') <= 4 * MOST_VALUES:
        outside = b"".join(bare.split(b'"')[::2])
        if sum(map(outside.count, (b",", b"{", b"["))) <= MOST_VALUES:
            return
    raise InvalidRequest(
        f"The body has more than {MOST_VALUES} values (objects, arrays and their "
        "members): send less at a time.",
        code="too_many_values",
    )
