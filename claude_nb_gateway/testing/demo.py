"""Canned answers for `--demo`: the real CLI, no account."""

from __future__ import annotations

from .model import RecordedRequest, Reply, Responder

NOTICE = "This is a canned answer: the gateway runs with --demo, without a model."


def demo_environment(url: str, directory: str) -> dict[str, str]:
    """What points the CLI at the stand-in `url` and away from the user's account."""
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "demo",
        "ANTHROPIC_AUTH_TOKEN": "",
        "CLAUDE_CODE_OAUTH_TOKEN": "",
        "CLAUDE_CODE_USE_BEDROCK": "",
        "CLAUDE_CODE_USE_VERTEX": "",
        "HOME": directory,
        "CLAUDE_CONFIG_DIR": directory,
    }


def demo_reply(delay_seconds: float) -> Responder:
    """A responder that says it is canned and what it was asked."""

    def respond(request: RecordedRequest) -> Reply:
        turns = request.turns
        question = turns[-1][1] if turns else ""
        heard = question if len(question) <= 200 else question[:200] + "…"
        text = f"{NOTICE}\n\nTurn {(len(turns) + 1) // 2} of this conversation: {heard}"
        words = text.split(" ")
        deltas = [word + " " for word in words[:-1]] + words[-1:]
        return Reply(deltas, delay_seconds=delay_seconds)

    return respond
