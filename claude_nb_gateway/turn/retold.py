"""Text that the CLI tells again when a stream broke off, told to the client once. Pure.

The CLI asks for a broken stream anew by itself, and the answer then comes once more
from its start, or whole.
"""

from __future__ import annotations

from ..claude_code.surrogates import without_halves
from ..errors import UpstreamError


class Characters:
    """Joins the halves of a character that two deltas share."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, text: str) -> str:
        """The whole characters that there are with `text`."""
        if self._half:
            text, self._half = self._half + text, ""
        if text.isascii():
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return without_halves(text)


class RetoldText:
    """What the client was told of a model's message, against text that comes again."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._settled = False
        # What was told already and must come once more.
        self._again = ""
        self._characters = Characters()

    def restart(self) -> bool:
        """A message of the model begins: the last one anew, unless that was settled.

        Returns whether it is another one, and text came before it.
        """
        self._again = "".join(self._told)
        self._characters = Characters()
        return self._settled and not self._again

    def settle(self) -> None:
        """The model's message ended in good order.

        Raises
        ------
        UpstreamError
            It ended before all came again that was told.
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
            It differs from what was told.
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
    """The error of an answer that broke off and cannot be continued."""
    return UpstreamError(
        "The connection to the model's API broke off, and the answer could not be "
        "taken up where it ended.",
        status=None,
    )
