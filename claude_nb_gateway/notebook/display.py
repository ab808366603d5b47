"""Shows an answer while it arrives, as one output, in a way that the shell supports."""

from __future__ import annotations

import contextvars
import math
import os
import threading
import time
from typing import Any, Protocol

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from .client import Answer

THINKING = "⏳ *thinking…*"


class Output(Protocol):
    """Shows one answer."""

    def show(self, answer: Answer) -> None:
        """The answer has grown."""

    def finish(self, answer: Answer) -> None:
        """The answer has ended, or was interrupted."""


class UpdatedOutput:
    """Markdown that is replaced as it grows, at most `updates_per_second` times.

    It appears with the first text or thinking of the model. So a request that fails
    leaves no empty output.
    """

    def __init__(self, updates_per_second: float) -> None:
        self._interval = 1 / updates_per_second
        self._last = -math.inf
        self._handle: Any = None
        self._text = ""
        self._later: threading.Timer | None = None
        self._drawing = threading.Lock()

    def show(self, answer: Answer) -> None:
        """Replace the output, now or a little later, if there is something new."""
        text = answer.text or (THINKING if answer.thinking else "")
        with self._drawing:
            if text and text != self._text:
                self._text = text
                self._draw_in_time()

    def finish(self, answer: Answer) -> None:
        """Replace the output with the whole answer."""
        with self._drawing:
            if self._later is not None:
                self._later.cancel()
                self._later = None
            if answer.text or self._handle is not None:
                self._draw(answer.text, metadata=metadata(answer))

    def _draw_in_time(self) -> None:
        wait = self._last + self._interval - time.monotonic()
        if wait <= 0:
            self._draw(self._text)
        elif self._later is None:
            # A timer draws this text even if the model pauses now. It runs in a copy of
            # the context: there ipykernel finds the cell of an output.
            context = contextvars.copy_context()
            self._later = threading.Timer(wait, context.run, [self._draw_late])
            self._later.daemon = True
            self._later.start()

    def _draw_late(self) -> None:
        with self._drawing:
            if self._later is not None:
                self._later = None
                self._draw(self._text)

    def _draw(self, text: str, **options: Any) -> None:
        self._last = time.monotonic()
        if self._handle is None:
            self._handle = _display(text, display_id=True, **options)
        else:
            self._handle.update(_bundle(text), raw=True, **options)


class PrintedOutput:
    """Text that is printed as it arrives, for a terminal."""

    def __init__(self) -> None:
        self._shown = 0

    def show(self, answer: Answer) -> None:
        """Print what is new."""
        print(answer.text[self._shown :], end="", flush=True)
        self._shown = len(answer.text)

    def finish(self, answer: Answer) -> None:
        """Print the rest and end the line."""
        self.show(answer)
        if answer.text:
            print()


class SingleOutput:
    """Markdown that is shown once, at the end, if updates are not supported."""

    def show(self, answer: Answer) -> None:
        """Do nothing before the end."""

    def finish(self, answer: Answer) -> None:
        """Show the answer."""
        if answer.text:
            _display(answer.text, metadata=metadata(answer))


def output_for(shell: InteractiveShell, updates_per_second: float) -> Output:
    """The output to use in `shell`."""
    if not hasattr(shell, "kernel"):
        return PrintedOutput()
    # nbval takes every update for a separate output. In its kernels pytest's variable
    # is set.
    if updates_per_second <= 0 or "PYTEST_VERSION" in os.environ:
        return SingleOutput()
    return UpdatedOutput(updates_per_second)


def metadata(answer: Answer) -> dict[str, Any]:
    """The metadata of the output: the model, the session, tokens and cost."""
    return {
        "claude": {
            "model": answer.model,
            "session": answer.session,
            "usage": answer.usage,
            "cost_usd": answer.cost_usd,
        }
    }


def _display(text: str, **options: Any) -> Any:
    return display(_bundle(text), raw=True, **options)  # type: ignore[no-untyped-call]


def _bundle(text: str) -> dict[str, str]:
    return {"text/markdown": text, "text/plain": text}
