"""Canned answers for `--demo`: with the real CLI, without an account."""

from __future__ import annotations

from .model import RecordedRequest, Reply, Responder

NOTICE = (
    "**This answer is canned**: the gateway runs in demo mode, with the real CLI and "
    "a stand-in for the model."
)


def demo_environment(url: str, directory: str) -> dict[str, str]:
    """Environment variables with which the CLI uses the model at `url`.

    It then does not use the user's account: its files are in `directory`.
    """
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
    """A responder with canned answers, which quote the conversation."""

    def respond(request: RecordedRequest) -> Reply:
        """The canned answer, word by word."""
        words = demo_text(request).split(" ")
        deltas = [word + " " for word in words[:-1]] + words[-1:]
        return Reply(deltas, delay_seconds=delay_seconds)

    return respond


def demo_text(request: RecordedRequest) -> str:
    """The canned answer to `request`, in Markdown."""
    questions = [text for role, text in request.turns if role == "user"]
    paragraphs = [NOTICE, "You asked:", _quoted(questions[-1])]
    if len(questions) > 1:
        paragraphs += ["Earlier in this conversation:", *map(_quoted, questions[:-1])]
    return "\n\n".join(paragraphs)


def _quoted(text: str) -> str:
    short = text if len(text) <= 200 else text[:200] + "…"
    return "\n".join(f"> {line}" for line in short.splitlines())
