"""Convert a failed `result` of the CLI to an error of this package. Pure.

The CLI writes its errors for the user of its terminal. Its text may contain addresses
and paths of this host. So clients get only what the model's API said of the request.
"""

from __future__ import annotations

import re

from ..errors import (
    GatewayError,
    InvalidRequest,
    NotLoggedIn,
    QuotaExceeded,
    UpstreamError,
)
from .protocol import Result, System

#: Statuses for which a retry cannot help: the API would refuse the request again.
UNRECOVERABLE = frozenset({400, 401, 403, 404, 413, 422})

LOGIN_REQUIRED = (
    "The Claude Code CLI on the server is not logged in. On that machine, run "
    "`jupyter claude-gateway login`, or set ANTHROPIC_API_KEY before you start the "
    "server."
)

# Clients search these messages for known words. From the words they decide whether to
# retry or to shorten the conversation.
MESSAGES = {
    401: "The model's API refused the server's credentials: an invalid API key, or an "
    "expired login. On the server, run `jupyter claude-gateway login`, or correct its "
    "ANTHROPIC_API_KEY.",
    403: "The model's API does not allow the server's account to do this.",
    404: "The model's API does not know this model, or the account may not use it.",
    413: "The request is too large for the model's API: send less text or fewer "
    "or smaller images.",
    429: "Rate limit reached: the model's API limits the server's account. Try again "
    "later.",
    529: "The model's API is overloaded: try again later.",
}

TOO_LONG = (
    "The conversation exceeds the model's maximum context length (prompt is too long). "
    "Shorten `{field}`."
)

# A phrase of the API if the account must pay, and the message that says what helps.
# The gateway never tries to work around it.
QUOTA_MESSAGES = (
    (
        "extra usage is required",
        "Extra usage is required for a conversation of this length: enable it for the "
        "server's account (Claude's settings, Usage), or send less.",
    ),
    (
        "third-party apps",
        "Third-party apps use the extra usage of the server's account, not its plan, "
        "and Anthropic treats this gateway as one of them: enable extra usage "
        "(Claude's settings, Usage), or run the CLI with an ANTHROPIC_API_KEY.",
    ),
    (
        "out of extra usage",
        "You're out of extra usage: add more to the server's account (Claude's "
        "settings, Usage), or wait for the next time window of its plan.",
    ),
    (
        "credit balance is too low",
        "The credit balance of the server's account is too low: buy credits in "
        "Anthropic's console (Plans & Billing).",
    ),
)
_PAYMENT_REQUIRED = (
    "The model's API requires a payment by the server's account: see its plan and "
    "billing."
)

_PREFIX = re.compile(
    r"^(Failed to authenticate\. )?API Error: (\d{3} |Request rejected \(\d{3}\) · )?"
)
_HOST_DETAIL = re.compile(r"(https?://\S+|\b\d{1,3}(\.\d{1,3}){3}(:\d+)?|(?<!\w)/\S+)")


def failure(result: Result, field: str = "messages") -> GatewayError:
    """The error for a failed `result` (with `is_error`).

    `field` is the field of the request that contains the conversation.
    """
    text = result.result or ""
    if result.terminal_reason == "prompt_too_long":
        return InvalidRequest(
            TOO_LONG.format(field=field), param=field, code="context_length_exceeded"
        )
    if "Not logged in" in text:
        return NotLoggedIn(LOGIN_REQUIRED, detail=text)
    return upstream_error(result.api_error_status, text)


def upstream_error(status: int | None, text: str) -> UpstreamError:
    """The error for a `status` of the model's API; None if there was no answer."""
    if quota := _quota(status, text):
        return QuotaExceeded(quota, status=status, detail=text)
    if status is None:
        message = "The connection to the model's API failed or broke off."
    elif status in (400, 422):
        said = _HOST_DETAIL.sub("…", _PREFIX.sub("", text))
        message = f"The model's API refused the request: {said}"
    else:
        message = MESSAGES.get(status, f"The model's API failed with status {status}.")
    return UpstreamError(message, status=status, detail=text)


def _quota(status: int | None, text: str) -> str:
    if status in (400, 402, 429):
        for phrase, message in QUOTA_MESSAGES:
            if phrase in text.lower():
                return message
    return _PAYMENT_REQUIRED if status == 402 else ""


def unrecoverable(message: System) -> UpstreamError | None:
    """The error, if `message` announces a retry that cannot succeed."""
    if message.subtype == "api_retry" and message.error_status in UNRECOVERABLE:
        return upstream_error(message.error_status, "stopped at the first retry")
    return None
