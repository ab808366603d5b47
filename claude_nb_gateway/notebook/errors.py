"""What a cell ends with when there is no answer.

ClaudeError
├── GatewayUnreachable   no gateway answers
├── RequestRefused       the gateway says that the request is wrong, or not allowed
└── AnswerFailed         the gateway or the model failed
Interrupted              a KeyboardInterrupt: the cell was interrupted

In a notebook they show as one line: where in this package they were raised is of
no use to the reader of the cell.
"""

from __future__ import annotations


class _Short(BaseException):
    """Shows without a traceback (IPython asks exceptions for this method)."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ClaudeError(_Short, Exception):
    """There is no answer. `status` and `code` are those of the HTTP response."""

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class GatewayUnreachable(ClaudeError):
    """No gateway answers where one was expected, or none could be started."""


class RequestRefused(ClaudeError):
    """The request cannot be honoured; the message says what to change."""


class AnswerFailed(ClaudeError):
    """The gateway, the CLI or the model's API failed."""


class Interrupted(_Short, KeyboardInterrupt):
    """The cell was interrupted; what had come of the answer is kept."""
