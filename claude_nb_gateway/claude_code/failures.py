"""What a failed turn means: from the CLI's `result` to an error of ours. Pure.

The CLI words its errors for the person at its terminal; its text may name
addresses of this host, so only what the model's API said of the request itself
is passed on.
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

# Asking again cannot help: the same request meets the same refusal.
HOPELESS = frozenset({400, 401, 403, 404, 413, 422})

LOGIN = (
    "The Claude Code CLI on the server is not logged in. On that machine run "
    "`jupyter claude-gateway login`, or set ANTHROPIC_API_KEY before starting the "
    "server."
)

# The words are those by which clients decide whether to try again, or to cut.
MEANINGS = {
    401: "The model's API refused the server's credentials: an invalid API key, or a "
    "login that has ended. On the server run `jupyter claude-gateway login`, or "
    "correct its ANTHROPIC_API_KEY.",
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

# What the API says where the account would have to pay, and what helps. The gateway
# never tries to get around it.
QUOTAS = (
    (
        "extra usage is required",
        "Extra usage is required for so long a conversation: the server's account must "
        "switch it on (Claude's settings, Usage), or send less.",
    ),
    (
        "third-party apps",
        "Third-party apps, for which Anthropic takes this gateway, draw from the extra "
        "usage of the server's account and not from its plan: switch that on (Claude's "
        "settings, Usage), or run the CLI with an ANTHROPIC_API_KEY.",
    ),
    (
        "out of extra usage",
        "You're out of extra usage: the server's account must add more (Claude's "
        "settings, Usage) or wait for its plan's next window.",
    ),
    (
        "credit balance is too low",
        "The credit balance of the server's account is too low: buy credits in "
        "Anthropic's console (Plans & Billing).",
    ),
)
_PAY = "The model's API asks the server's account to pay: see its plan and billing."

_PREFIX = re.compile(
    r"^(Failed to authenticate\. )?API Error: (\d{3} |Request rejected \(\d{3}\) · )?"
)
_HOST_DETAIL = re.compile(r"(https?://\S+|\b\d{1,3}(\.\d{1,3}){3}(:\d+)?|(?<!\w)/\S+)")


def failure(result: Result, field: str = "messages") -> GatewayError:
    """The error that `result` (with `is_error`) stands for.

    `field` is the one of the request that holds the conversation.
    """
    text = result.result or ""
    if result.terminal_reason == "prompt_too_long":
        return InvalidRequest(
            TOO_LONG.format(field=field), param=field, code="context_length_exceeded"
        )
    if "Not logged in" in text:
        return NotLoggedIn(LOGIN, detail=text)
    return upstream_error(result.api_error_status, text)


def upstream_error(status: int | None, text: str) -> UpstreamError:
    """The error for an upstream `status`, None where there was no answer at all."""
    if quota := _quota(status, text):
        return QuotaExceeded(quota, status=status, detail=text)
    if status is None:
        message = "The connection to the model's API failed or broke off."
    elif status in (400, 422):
        said = _HOST_DETAIL.sub("…", _PREFIX.sub("", text))
        message = f"The model's API refused the request: {said}"
    else:
        message = MEANINGS.get(status, f"The model's API failed with status {status}.")
    return UpstreamError(message, status=status, detail=text)


def _quota(status: int | None, text: str) -> str:
    if status in (400, 402, 429):
        for phrase, meaning in QUOTAS:
            if phrase in text.lower():
                return meaning
    return _PAY if status == 402 else ""


def hopeless(message: System) -> UpstreamError | None:
    """The error, if the CLI announces to try again what cannot succeed."""
    if message.subtype == "api_retry" and message.error_status in HOPELESS:
        return upstream_error(message.error_status, "given up at the first retry")
    return None
