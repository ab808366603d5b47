"""The HTTP status and OpenAI error object of each of the gateway's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http.client import responses

from tornado.web import HTTPError

from ..errors import (
    CLIError,
    CLINotFound,
    CLITimeout,
    ConstraintUnmet,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    NotAllowed,
    NotLoggedIn,
    ProjectNotFound,
    QuotaExceeded,
    ResponseNotFound,
    SessionBusy,
    SessionNotFound,
    ShuttingDown,
    StoreUnavailable,
    TooBusy,
    UpstreamError,
)
from ..wire.errors import ErrorBody

# OpenAI's names: https://platform.openai.com/docs/guides/error-codes
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}

# The status for the client, if it must not act on the status of the model's API.
STATUS_FOR_UPSTREAM = {500: 502, 529: 503}

# Codes that OpenAI's clients act on. Only Codex knows the last one.
UPSTREAM_CODES = {
    413: "request_too_large",
    429: "rate_limit_exceeded",
    529: "server_is_overloaded",
}

#: The time after which a client may try again, if nothing better is known.
RETRY_AFTER_SECONDS = {429: 5, 503: 5}


class APIError(HTTPError):
    """An error for the client, with OpenAI's error object.

    Parameters
    ----------
    param:
        The field that the error is about.
    code:
        OpenAI's name of the error.
    retry_after_seconds:
        The time after which the client may try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(status, "%s", message)
        self.body = ErrorBody(message, error_type(status), param, code)
        #: Whether trying again does not help.
        self.is_permanent = code == "insufficient_quota"
        after = None if self.is_permanent else RETRY_AFTER_SECONDS.get(status)
        self.retry_after_seconds = retry_after_seconds or after


def error_type(status: int) -> str:
    """OpenAI's `type` of an error with this HTTP status."""
    return TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def api_error(error: GatewayError) -> APIError:
    """The HTTP form of one of the gateway's errors."""
    message = error.message
    if isinstance(error, InvalidRequest):
        missing = isinstance(
            error, ModelNotFound | ResponseNotFound | ProjectNotFound | SessionNotFound
        )
        # A field that names a missing response is a mistake in the request.
        if isinstance(error, ResponseNotFound) and error.param is not None:
            missing = False
        status = 404 if missing else 400
        return APIError(status, message, param=error.param, code=error.code)
    if isinstance(error, NotAllowed):
        return APIError(403, message, code=error.code)
    if isinstance(error, SessionBusy):
        return APIError(409, message, param="session_id", code="session_busy")
    if isinstance(error, TooBusy):
        return APIError(
            429,
            message,
            code="rate_limit_exceeded",
            retry_after_seconds=error.retry_after_seconds,
        )
    if isinstance(error, ConstraintUnmet):
        return APIError(502, message, code="constraint_unmet")
    if isinstance(error, QuotaExceeded):
        # OpenAI uses this status too, although trying again does not help.
        return APIError(429, message, code="insufficient_quota")
    if isinstance(error, UpstreamError):
        status = error.status or 502
        code = UPSTREAM_CODES.get(status, "upstream_error")
        return APIError(STATUS_FOR_UPSTREAM.get(status, status), message, code=code)
    for kind, status, code in (
        (NotLoggedIn, 401, "not_logged_in"),
        (CLINotFound, 503, "cli_not_found"),
        (StoreUnavailable, 503, "store_unavailable"),
        (ShuttingDown, 503, "server_shutting_down"),
        (CLITimeout, 504, "timeout"),
        (CLIError, 502, "cli_error"),
    ):
        if isinstance(error, kind):
            return APIError(status, message, code=code)
    return APIError(500, message)


@contextlib.contextmanager
def http_errors() -> Iterator[None]:
    """Raise the HTTP form of the gateway's errors that the body raises."""
    try:
        yield
    except GatewayError as error:
        raise api_error(error) from error
    except RecursionError:
        raise APIError(
            400, "The request is nested too deeply: flatten it.", code="invalid_json"
        ) from None


def error_of(exception: BaseException | None, status: int) -> ErrorBody:
    """The error object for any exception that ends a request."""
    if isinstance(exception, APIError):
        return exception.body
    message = responses.get(status, "Unknown error") + "."
    if isinstance(exception, HTTPError) and exception.log_message and status < 500:
        with contextlib.suppress(TypeError, ValueError):
            message = exception.log_message % exception.args
    return ErrorBody(message, error_type(status))
