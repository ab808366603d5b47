"""Sends each piece of text to the client once, even if the CLI sends it twice. Pure.

If a stream breaks off, the CLI asks the model's API again by itself. The answer then
comes from its start, or in one piece.
"""

from __future__ import annotations

from ..claude_code.surrogates import without_lone_surrogates
from ..errors import UpstreamError


class Characters:
    """Joins the halves of a character that two deltas share."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, text: str) -> str:
        """The complete characters so far; half a one waits for the next delta."""
        if self._half:
            text, self._half = self._half + text, ""
        if text.isascii():
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return without_lone_surrogates(text)


class RetoldText:
    """Finds what is new in text that comes again."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._settled = False
        # What the client has already, and must come again now.
        self._again = ""
        self._characters = Characters()

    def restart(self) -> bool:
        """A message of the model begins: again the last one, unless that was complete.

        Returns whether it is a new one and text came before it.
        """
        self._again = "".join(self._told)
        self._characters = Characters()
        return self._settled and not self._again

    def settle(self) -> None:
        """The model's message is complete.

        Raises
        ------
        UpstreamError
            It is shorter than what the client has already.
        """
        if self._again:
            raise broken_off()
        self._settled = self._settled or bool(self._told)
        self._told.clear()

    def add(self, text: str) -> str:
        """The part of `text` that is new to the client.

        Raises
        ------
        UpstreamError
            It differs from what the client has already.
        """
        text = self._characters.add(text)
        if self._again:
            overlap = min(len(text), len(self._again))
            if text[:overlap] != self._again[:overlap]:
                raise broken_off()
            self._again = self._again[overlap:]
            text = text[overlap:]
        self._told.append(text)
        return text


def broken_off() -> UpstreamError:
    """The error for an answer that broke off and cannot continue."""
    return UpstreamError(
        "The connection to the model's API broke off, and the answer could not be "
        "taken up where it ended.",
        status=None,
    )
