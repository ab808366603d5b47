"""What a failed turn means: from the CLI's `result` to an error of ours. Pure.

The CLI words its errors for the person at its terminal; its text may name
addresses of this host, so only what the model's API said of the request itself
is passed on.
"""

from __future__ import annotations

import re

from ..errors import GatewayError, InvalidRequest, NotLoggedIn, UpstreamError
from .protocol import Result, System

# Asking again cannot help: the same request meets the same refusal.
HOPELESS = frozenset({400, 401, 403, 404, 413, 422})

LOGIN = (
    "The Claude Code CLI on the server is not logged in. On that machine run "
    "`claude` and then /login, or set ANTHROPIC_API_KEY before starting the server."
)

MEANINGS = {
    401: "The model's API refused the server's credentials. Log the Claude Code CLI "
    "in again on the server, or correct its ANTHROPIC_API_KEY.",
    403: "The model's API does not allow the server's account to do this.",
    404: "The model's API does not know this model, or the account may not use it.",
    413: "The request is too large for the model's API: send less text or fewer "
    "or smaller images.",
    429: "The model's API limits the rate of the server's account: try again later.",
    529: "The model's API is overloaded: try again later.",
}

_PREFIX = re.compile(r"^(Failed to authenticate\. )?API Error: (\d{3} )?")
_HOST_DETAIL = re.compile(r"(https?://\S+|\b\d{1,3}(\.\d{1,3}){3}(:\d+)?|(?<!\w)/\S+)")


def failure(result: Result) -> GatewayError:
    """The error that `result` (with `is_error`) stands for."""
    text = result.result or ""
    if result.terminal_reason == "prompt_too_long":
        return InvalidRequest(
            "The conversation is longer than the model's context window. "
            "Shorten `messages`.",
            param="messages",
            code="context_length_exceeded",
        )
    if "Not logged in" in text:
        return NotLoggedIn(LOGIN, detail=text)
    return upstream_error(result.api_error_status, text)


def upstream_error(status: int | None, text: str) -> UpstreamError:
    """The error for an upstream `status`, None where there was no answer at all."""
    if status is None:
        message = "The connection to the model's API failed or broke off."
    elif status in (400, 422):
        said = _HOST_DETAIL.sub("…", _PREFIX.sub("", text))
        message = f"The model's API refused the request: {said}"
    else:
        message = MEANINGS.get(status, f"The model's API failed with status {status}.")
    return UpstreamError(message, status=status, detail=text)


def hopeless(message: System) -> UpstreamError | None:
    """The error, if the CLI announces to try again what cannot succeed."""
    if message.subtype == "api_retry" and message.error_status in HOPELESS:
        return upstream_error(message.error_status, "given up at the first retry")
    return None
