"""The exceptions that end a cell without an answer.

ClaudeError
├── GatewayUnreachable   no gateway answers
├── RequestRefused       the request is not valid, or not allowed
└── AnswerFailed         the gateway or the model failed
Interrupted              a KeyboardInterrupt: the cell was interrupted

A notebook shows them as one line. A traceback through this package would not help the
reader of the cell.
"""

from __future__ import annotations


class _Short(BaseException):
    """An exception that IPython shows without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ClaudeError(_Short, Exception):
    """There is no answer. `status` and `code` are from the HTTP response."""

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class GatewayUnreachable(ClaudeError):
    """No gateway answers at the address, or no gateway could be started."""


class RequestRefused(ClaudeError):
    """The request is not valid, or not allowed; the message says what to change."""


class AnswerFailed(ClaudeError):
    """The gateway, the CLI or the model's API failed."""


class Interrupted(_Short, KeyboardInterrupt):
    """The cell was interrupted; the answer so far is kept."""
