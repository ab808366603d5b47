"""Headers that say what the account of the CLI may still use.

Claude Code tells the share used of a subscription's windows, not the requests or tokens
left, so these are the headers of Anthropic's API and not OpenAI's.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..claude_code.protocol import RateLimits

PREFIX = "Anthropic-RateLimit-Unified"

#: The names that Anthropic's API has for the CLI's windows.
WINDOWS = {"five_hour": "5h", "seven_day": "7d"}


def limit_headers(limits: RateLimits | None) -> Iterator[tuple[str, str]]:
    """Names and values; none while nothing is known."""
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
