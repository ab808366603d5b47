"""The stop sequences of a request. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidRequest

#: Whoever stops at a text knows its beginning, so these many characters suffice.
MOST_CHARACTERS = 1_000


def check_lengths(sequences: Sequence[str], field: str) -> None:
    """Raise InvalidRequest, naming the field, where one is very long.

    The answer is searched for them whenever the model has said a little more.
    """
    if any(len(sequence) > MOST_CHARACTERS for sequence in sequences):
        raise InvalidRequest(
            f"`{field}`: each may have up to {MOST_CHARACTERS} characters.", param=field
        )
