"""What is asked of the model: a conversation of turns, in the CLI's terms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

ContentBlock = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One turn; `content` are Messages API content blocks."""

    role: Literal["user", "assistant"]
    content: list[ContentBlock]


@dataclass(frozen=True)
class Opening:
    """What a session is bound to for as long as it lives.

    Parameters
    ----------
    model:
        As the client named it; None asks for the configured default.
    system:
        The system prompt's parts, in order.
    effort:
        One of the CLI's effort levels, None for the model's own default.
    principal:
        Who asks; nobody else may continue the conversation.
    """

    model: str | None
    system: tuple[str, ...] = ()
    effort: str | None = None
    principal: str = ""


@dataclass(frozen=True)
class Conversation:
    """A question with everything that went before it.

    Parameters
    ----------
    history:
        The turns before the question, in order, roles as the client had them.
    question:
        The content blocks of the last user turn.
    max_output_tokens:
        Where the answer is cut, None for the model's limit.
    """

    opening: Opening
    history: tuple[Turn, ...]
    question: list[ContentBlock] = field(default_factory=list)
    max_output_tokens: int | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The history and the question."""
        return (*self.history, Turn("user", self.question))

    def digests(self) -> list[bytes]:
        """What identifies the conversation up to and with each of its `turns`.

        Two conversations have a digest in common if they agree in their opening
        and in all turns so far, but for what clients change in passing: how an
        assistant's text is cut into parts, and white space at its ends.
        """
        return list(_chain(_digest(b"", self.opening), self.turns))


def digest_after(digest: bytes, answer: str) -> bytes:
    """The digest once the model has said `answer` to the turn of `digest`."""
    (after,) = _chain(digest, [Turn("assistant", [{"type": "text", "text": answer}])])
    return after


def _chain(digest: bytes, turns: Iterable[Turn]) -> Iterator[bytes]:
    for turn in turns:
        content: Any = turn.content
        if turn.role == "assistant" and all(b["type"] == "text" for b in content):
            content = "".join(block["text"] for block in content).strip()
        digest = _digest(digest, (turn.role, content))
        yield digest


def _digest(before: bytes, value: Any) -> bytes:
    data = msgspec.json.encode(value, order="deterministic")
    return hashlib.blake2b(before + data, digest_size=16).digest()
