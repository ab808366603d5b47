"""What of a request costs too much, seen before it is read. Pure."""

from __future__ import annotations

from ..errors import InvalidRequest

#: So many objects, arrays and members of them may be in a body. Text and base64 do
#: not count, however long: this is some 40,000 messages.
MOST_VALUES = 150_000

# A value takes two bytes at least.
_SMALL_BYTES = 2 * MOST_VALUES


def check_values(body: bytes) -> None:
    """Raise InvalidRequest where `body`, which should be JSON, has too many values.

    To read it takes the longer the more there are, and nobody else is answered
    meanwhile. To count them takes some milliseconds.
    """
    if len(body) <= _SMALL_BYTES:
        return
    # Without what is escaped, each quotation mark begins or ends a text.
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
