"""All errors of this package. They do not depend on HTTP.

GatewayError
├── InvalidRequest            the caller's mistake: names the field and the remedy
│   ├── ModelNotFound         no such model; lists those that exist
│   ├── ResponseNotFound      no such stored response, or it is forgotten
│   ├── ProjectNotFound       no such project, or its directory is gone
│   └── SessionNotFound       no such session
├── NotAllowed                the caller may not do this
├── SessionBusy               another request runs a turn in the session
├── TooBusy                   all processes are in use; says when to try again
├── ShuttingDown              the server is stopping; try again later
├── CLIError                  the Claude Code CLI on this machine
│   ├── CLINotFound           it is not installed
│   ├── NotLoggedIn           it has neither a login nor a key
│   ├── CLIExited             it exited while it was needed
│   ├── CLITimeout            it did not answer in time
│   ├── TurnAborted           it stopped a turn without a request to do so
│   └── ProtocolError         it sent something that cannot be understood
├── ConstraintUnmet           the model did not obey the request, even after a retry
├── StoreUnavailable          the database failed; says what to do
└── UpstreamError             the model's API refused, failed or disconnected
    └── QuotaExceeded         the account has used up what it paid for

A client may see the text of every error. So it never holds a path, an address or a
traceback of the host. What helps only the operator is in `detail`, which is logged.
"""

from __future__ import annotations

#: Maximum number of characters of a client's value that an error quotes.
MAX_QUOTED = 100
#: Maximum number of characters of an error's message.
MAX_MESSAGE = 4_000


def cut(text: str, length: int = MAX_QUOTED) -> str:
    """`text`, or its beginning if it is longer than `length`."""
    return text if len(text) <= length else text[:length] + "…"


def quoted(text: str) -> str:
    """A value from a client, short enough to be quoted in an error's message."""
    return repr(cut(text))


class GatewayError(Exception):
    """Base of all errors of this package.

    `message` is for the client; `detail` is only for the server's log.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class InvalidRequest(GatewayError):
    """The request is not valid, or not supported; `param` names the field."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        # Both may contain names from the client, of any length.
        super().__init__(cut(message, MAX_MESSAGE))
        self.param = None if param is None else cut(param, MAX_MESSAGE)
        self.code = code


class ModelNotFound(InvalidRequest):
    """The model does not exist; the message lists those that exist."""

    def __init__(
        self, model: str, available: list[str], *, because: str = "", detail: str = ""
    ) -> None:
        because = because or f"The model {quoted(model)} does not exist."
        super().__init__(
            f"{because} Available: {', '.join(available)}.",
            param="model",
            code="model_not_found",
        )
        self.detail = detail


class ResponseNotFound(InvalidRequest):
    """The caller has no such response; `param` names the field, if any."""

    def __init__(self, response_id: str, param: str | None) -> None:
        where = f"`{param}`: " if param else ""
        super().__init__(
            f"{where}There is no response {quoted(response_id)}: it was never stored, "
            "or is forgotten.",
            param=param,
            code="previous_response_not_found" if param else "response_not_found",
        )


class ProjectNotFound(InvalidRequest):
    """There is no such project; the message says what to do."""

    def __init__(self, message: str, *, code: str = "project_not_found") -> None:
        super().__init__(message, param="project_id", code=code)

    @classmethod
    def gone(cls, name: str) -> ProjectNotFound:
        """The error for a project `name` whose directory is gone."""
        return cls(
            f"The directory of the project {quoted(name)} is gone: it was renamed, "
            "moved or deleted. Restore it, or PATCH the project's `path`, or DELETE "
            "the project.",
            code="project_directory_missing",
        )


class SessionNotFound(InvalidRequest):
    """There is no such session that the caller may see."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is no session {quoted(session_id)}. GET /v1/sessions lists them, "
            "POST creates one.",
            param="session_id",
            code="session_not_found",
        )


class NotAllowed(GatewayError):
    """The caller may not do this; `code` says why."""

    def __init__(self, message: str, *, code: str = "not_allowed") -> None:
        super().__init__(message)
        self.code = code


class SessionBusy(GatewayError):
    """Another request runs a turn in the session, and did not end in time."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"The session {quoted(session_id)} is in the middle of a turn. Try again "
            "when the turn has ended, or POST to the session's /interrupt."
        )


class TooBusy(GatewayError):
    """All processes are in use; `retry_after_seconds` is an estimate."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ShuttingDown(GatewayError):
    """The server is stopping, and neither accepts nor finishes requests."""

    def __init__(self) -> None:
        super().__init__(
            "The server is shutting down: the answer is incomplete. Try again in a "
            "moment."
        )


class CLIError(GatewayError):
    """The Claude Code CLI of this machine failed."""


class CLINotFound(CLIError):
    """There is no Claude Code CLI on this machine."""


class NotLoggedIn(CLIError):
    """The CLI has no account for the model's API."""


class CLIExited(CLIError):
    """The CLI exited while it was needed."""

    def __init__(self, returncode: int | None, stderr: str) -> None:
        super().__init__(
            "The Claude Code CLI exited unexpectedly: see the server's log.",
            detail=f"exit status {returncode}; stderr: {stderr or '(empty)'}",
        )
        self.returncode = returncode
        self.stderr = stderr


class CLITimeout(CLIError):
    """The CLI did not answer in time."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"The Claude Code CLI gave no {what} within {seconds:g} s.")
        self.seconds = seconds


class TurnAborted(CLIError):
    """The CLI stopped a turn, although no client or user requested it."""

    def __init__(self) -> None:
        super().__init__(
            "The Claude Code CLI stopped the turn: the answer is incomplete. Try again."
        )


class ProtocolError(CLIError):
    """The CLI violated its protocol, or refused a control request."""


class UpstreamError(GatewayError):
    """The model's API answered with an error, or disconnected.

    `status` is its HTTP status, None if the connection itself failed.
    """

    def __init__(self, message: str, *, status: int | None, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.status = status


class QuotaExceeded(UpstreamError):
    """The account has used up what it paid for; trying again does not help."""


class StoreUnavailable(GatewayError):
    """The database of projects, sessions and keys cannot be read or written."""


class ConstraintUnmet(GatewayError):
    """The model's answer does not obey the request, so it is not sent.

    `param` is the field that contains the demand, if the message names it.
    """

    def __init__(self, demand: str, *, param: str | None = None) -> None:
        super().__init__(
            "The model did not do what the request demands, although it was asked "
            f"twice: {demand} Try again, or demand less."
        )
        self.param = param
