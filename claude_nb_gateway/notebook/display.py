"""How an answer is shown while it comes: one output, in the way this shell can."""

from __future__ import annotations

import contextvars
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
        """It has ended, or it was cut: this is all of it."""


class UpdatedOutput:
    """Markdown that is replaced as it grows, `updates_per_second` at most.

    It appears with the first sign of the model, so that a request that fails
    leaves no empty output behind.
    """

    def __init__(self, updates_per_second: float) -> None:
        self._interval = 1 / updates_per_second
        self._last = 0.0
        self._handle: Any = None
        self._text = ""
        self._later: threading.Timer | None = None
        self._drawing = threading.Lock()

    def show(self, answer: Answer) -> None:
        """Replace the output, now or when it is time, if there is anything to see."""
        text = answer.text or (THINKING if answer.thinking else "")
        with self._drawing:
            if text and text != self._text:
                self._text = text
                self._draw_in_time()

    def finish(self, answer: Answer) -> None:
        """Replace the output by the whole answer."""
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
            # The model may pause here, and nothing else would wake us. ipykernel
            # finds the cell that an output belongs to in the context.
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
    """Text that is printed as it comes, for a terminal."""

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
    """Markdown shown once at the end, where nothing understands updates."""

    def show(self, answer: Answer) -> None:
        """Wait for the end."""

    def finish(self, answer: Answer) -> None:
        """Show the answer."""
        if answer.text:
            _display(answer.text, metadata=metadata(answer))


def output_for(shell: InteractiveShell, updates_per_second: float) -> Output:
    """The way to show an answer in `shell`."""
    if not hasattr(shell, "kernel"):
        return PrintedOutput()
    # nbval keeps every message as an output of its own; its kernels know it by
    # pytest's variable.
    if updates_per_second <= 0 or "PYTEST_VERSION" in os.environ:
        return SingleOutput()
    return UpdatedOutput(updates_per_second)


def metadata(answer: Answer) -> dict[str, Any]:
    """What is kept with the output: where the answer came from and its cost."""
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
