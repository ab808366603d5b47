"""Everything that can go wrong, knowing nothing of HTTP.

GatewayError
├── InvalidRequest            the caller's mistake: names the field and the remedy
│   ├── ModelNotFound         no such model; names what exists
│   ├── ResponseNotFound      no such stored response, or none any more
│   ├── ProjectNotFound       no such project, or its directory is gone
│   └── SessionNotFound       no such session
├── NotAllowed                the caller may not do this
├── SessionBusy               the session is in the middle of a turn of another
├── TooBusy                   the ceiling is reached; says when to try again
├── ShuttingDown              the server ends; another one may answer
├── CLIError                  the Claude Code CLI on this machine
│   ├── CLINotFound           there is none
│   ├── NotLoggedIn           it has neither login nor key
│   ├── CLIExited             it ended in the middle of something
│   ├── CLITimeout            it did not answer in time
│   ├── TurnAborted           it broke a turn off that nobody told it to end
│   └── ProtocolError         it said something that cannot be understood
├── ConstraintUnmet           the model did not do what was asked, told twice
├── StoreUnavailable          the database cannot be used; says what to do about it
└── UpstreamError             the model's API refused, failed or broke off
    └── QuotaExceeded         … since the account would have to pay, or cannot

The text of every error may be shown to a client: it never holds a path, an
address or a traceback of the host. What helps only the operator is in `detail`,
which is logged.
"""

from __future__ import annotations

#: So much of a value that a client sent is told again, and of a message altogether.
MOST_QUOTED = 100
MOST_TOLD = 4_000


def cut(text: str, most: int = MOST_QUOTED) -> str:
    """`text`, or its beginning if it is longer."""
    return text if len(text) <= most else text[:most] + "…"


def quoted(text: str) -> str:
    """What a client sent, as an error quotes it: a message is to be read."""
    return repr(cut(text))


class GatewayError(Exception):
    """Base of all errors of this package.

    `message` is for the client, `detail` for the server's log alone.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class InvalidRequest(GatewayError):
    """The request cannot be honoured as it is; `param` names the field."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        # Both may have names in them that a client made up.
        super().__init__(cut(message, MOST_TOLD))
        self.param = None if param is None else cut(param, MOST_TOLD)
        self.code = code


class ModelNotFound(InvalidRequest):
    """The model asked for does not exist; the message lists those that do."""

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
    """There is no such response for the caller; `param` names the field, if any."""

    def __init__(self, response_id: str, param: str | None) -> None:
        where = f"`{param}`: " if param else ""
        super().__init__(
            f"{where}There is no response {quoted(response_id)}: it was never stored, "
            "or is forgotten.",
            param=param,
            code="previous_response_not_found" if param else "response_not_found",
        )


class ProjectNotFound(InvalidRequest):
    """There is no such project; the message says how it can be had."""

    def __init__(self, message: str, *, code: str = "project_not_found") -> None:
        super().__init__(message, param="project_id", code=code)

    @classmethod
    def gone(cls, name: str) -> ProjectNotFound:
        """The directory of the project `name` is not there any more."""
        return cls(
            f"The directory of the project {quoted(name)} is gone: it was renamed, "
            "moved or deleted. Put it back, or PATCH the project's `path`, or DELETE "
            "the project.",
            code="project_directory_missing",
        )


class SessionNotFound(InvalidRequest):
    """There is no such session for the caller."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is no session {quoted(session_id)}. GET /v1/sessions lists them, "
            "POST makes one.",
            param="session_id",
            code="session_not_found",
        )


class NotAllowed(GatewayError):
    """The caller is known, and may not do this; `code` says what it is about."""

    def __init__(self, message: str, *, code: str = "not_allowed") -> None:
        super().__init__(message)
        self.code = code


class SessionBusy(GatewayError):
    """Another request has the session, or had it for too long to wait."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"The session {quoted(session_id)} is in the middle of a turn. Try again "
            "when that has ended, or POST to its /interrupt."
        )


class TooBusy(GatewayError):
    """All processes are taken; `retry_after_seconds` is an honest guess."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ShuttingDown(GatewayError):
    """The server is about to end, and takes or finishes no request."""

    def __init__(self) -> None:
        super().__init__(
            "The server is shutting down: the answer is not whole. Try again in a "
            "moment."
        )


class CLIError(GatewayError):
    """The Claude Code CLI of this machine failed."""


class CLINotFound(CLIError):
    """No Claude Code CLI on this machine."""


class NotLoggedIn(CLIError):
    """The CLI has no account to ask the model with."""


class CLIExited(CLIError):
    """The CLI ended while something was expected of it."""

    def __init__(self, returncode: int | None, stderr: str) -> None:
        super().__init__(
            "The Claude Code CLI ended unexpectedly; the server's log says more.",
            detail=f"exit status {returncode}; stderr: {stderr or '(empty)'}",
        )
        self.returncode = returncode
        self.stderr = stderr


class CLITimeout(CLIError):
    """The CLI did not answer within its time."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"The Claude Code CLI gave no {what} within {seconds:g} s.")
        self.seconds = seconds


class TurnAborted(CLIError):
    """The CLI broke off a turn, and no client or user wanted that."""

    def __init__(self) -> None:
        super().__init__(
            "The Claude Code CLI broke off the turn: the answer is not whole. Try "
            "again."
        )


class ProtocolError(CLIError):
    """The CLI's output broke its protocol, or it refused a control request."""


class UpstreamError(GatewayError):
    """The model's API answered with an error, or broke off.

    `status` is the HTTP status it gave, None when the connection itself failed.
    """

    def __init__(self, message: str, *, status: int | None, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.status = status


class QuotaExceeded(UpstreamError):
    """The account has used up what it paid for; asking again does not help."""


class StoreUnavailable(GatewayError):
    """The database of projects, sessions and keys cannot be read or written."""


class ConstraintUnmet(GatewayError):
    """The model's answer is not what the request demands, and is kept back.

    `param` is the field that demands it, where the message names that.
    """

    def __init__(self, demand: str, *, param: str | None = None) -> None:
        super().__init__(
            "The model did not do what the request demands, though told twice: "
            f"{demand} Try again, or demand less."
        )
        self.param = param
