"""Headers that tell how much of its limits the CLI's account has used.

Claude Code tells the used share of a subscription's windows, not the number of requests
or tokens that are left. So these are the headers of Anthropic's API, not OpenAI's.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..claude_code.protocol import RateLimits

PREFIX = "Anthropic-RateLimit-Unified"

#: The names of the CLI's windows in Anthropic's API.
WINDOWS = {"five_hour": "5h", "seven_day": "7d"}


def limit_headers(limits: RateLimits | None) -> Iterator[tuple[str, str]]:
    """Names and values of the headers; none if `limits` are not known."""
    if limits is None:
        return
    yield f"{PREFIX}-Status", limits.status
    if limits.resets_at is not None:
        yield f"{PREFIX}-Reset", str(limits.resets_at)
    for name, window in limits.unified_windows.items():
        label = WINDOWS.get(name)
        if label is None:
            continue
        if window.utilization is not None:
            yield f"{PREFIX}-{label}-Utilization", str(window.utilization)
        if window.resets_at is not None:
            yield f"{PREFIX}-{label}-Reset", str(window.resets_at)
