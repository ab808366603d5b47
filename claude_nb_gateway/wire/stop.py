"""The stop sequences of a request. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidRequest

#: Maximum length of a stop sequence. The first characters of a longer one would do.
MOST_CHARACTERS = 1_000


def check_lengths(sequences: Sequence[str], field: str) -> None:
    """Raise InvalidRequest, naming the field, where one is very long.

    Each new piece of the answer is searched for all of them.
    """
    if any(len(sequence) > MOST_CHARACTERS for sequence in sequences):
        raise InvalidRequest(
            f"`{field}`: each may have up to {MOST_CHARACTERS} characters.", param=field
        )
