"""Cuts a text before its first stop sequence, even if deltas split it. Pure.

The CLI has no option for stop sequences, so the gateway looks for them.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopSequences:
    """Passes text on up to the first of `sequences`.

    Text that may be the start of one waits until that is clear. `reached` is the
    sequence that was found.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self.reached: str | None = None
        self._sequences = list(dict.fromkeys(sequences))
        self._held = ""

    def add(self, text: str) -> str:
        """The part of the text so far that can be passed on now."""
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
        """The text that still waits, once no more comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, sequence: str, at_least: int) -> int:
    """The length of the longest end of `text` with which `sequence` starts.

    At least `at_least`.
    """
    longest = min(len(text), len(sequence) - 1)
    for length in range(longest, at_least, -1):
        if text.endswith(sequence[:length]):
            return length
    return at_least
