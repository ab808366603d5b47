"""What is asked of the model: a conversation of turns, in the CLI's terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

ContentBlock = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One turn; `content` are Messages API content blocks."""

    role: Literal["user", "assistant"]
    content: list[ContentBlock]


@dataclass(frozen=True)
class Conversation:
    """A question with everything that went before it.

    Parameters
    ----------
    model:
        As the client named it; None asks for the configured default.
    system:
        The system prompt's parts, in order.
    history:
        The turns before the question, in order, roles as the client had them.
    question:
        The content blocks of the last user turn.
    effort:
        One of the CLI's effort levels, None for the model's own default.
    max_output_tokens:
        Where the answer is cut, None for the model's limit.
    """

    model: str | None
    system: tuple[str, ...]
    history: tuple[Turn, ...]
    question: list[ContentBlock] = field(default_factory=list)
    effort: str | None = None
    max_output_tokens: int | None = None
