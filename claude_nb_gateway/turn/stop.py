"""Cut a text at its first stop sequence, also where that is split over deltas. Pure.

The CLI cannot be told of stop sequences, so the gateway watches for them.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopSequences:
    """Passes text on up to the first of `sequences`, which is not passed on.

    What may be the beginning of one is held back until that is known; `reached` is
    the one that was found.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self.reached: str | None = None
        self._sequences = list(dict.fromkeys(sequences))
        self._held = ""

    def add(self, text: str) -> str:
        """What of the text so far can be passed on now."""
        if not self._sequences:
            return text
        text = self._held + text
        found = [(i, s) for s in self._sequences if (i := text.find(s)) >= 0]
        if found:
            end, self.reached = min(found)
            self._held = ""
            return text[:end]
        keep = 0
        for sequence in self._sequences:
            keep = _overlap(text, sequence, at_least=keep)
        passed, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return passed

    def rest(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, sequence: str, at_least: int) -> int:
    """The length of the longest end of `text` that `sequence` begins with.

    Or `at_least`, if that is more.
    """
    longest = min(len(text), len(sequence) - 1)
    for length in range(longest, at_least, -1):
        if text.endswith(sequence[:length]):
            return length
    return at_least
