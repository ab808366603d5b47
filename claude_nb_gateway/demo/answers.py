"""Canned answers for `--demo`: the real CLI, no account."""

from __future__ import annotations

from .model import RecordedRequest, Reply, Responder

NOTICE = (
    "**This answer is canned**: the gateway runs in demo mode, with the real CLI and "
    "a stand-in for the model."
)


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
    """A responder that says it is canned, and what of the conversation reached it."""

    def respond(request: RecordedRequest) -> Reply:
        words = demo_text(request).split(" ")
        deltas = [word + " " for word in words[:-1]] + words[-1:]
        return Reply(deltas, delay_seconds=delay_seconds)

    return respond


def demo_text(request: RecordedRequest) -> str:
    """The canned answer to `request`, in Markdown."""
    questions = [text for role, text in request.turns if role == "user"]
    told = [NOTICE, "You asked:", _quoted(questions[-1])]
    if len(questions) > 1:
        told += ["Earlier in this conversation:", *map(_quoted, questions[:-1])]
    return "\n\n".join(told)


def _quoted(text: str) -> str:
    short = text if len(text) <= 200 else text[:200] + "…"
    return "\n".join(f"> {line}" for line in short.splitlines())
