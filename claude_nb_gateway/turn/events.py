"""What a turn says, in the order in which it says it.

`reader` makes these events of the CLI's messages. Each API, and whoever else follows a
turn, shows of them what it can. A turn ends with `Ended`, or it fails with an error.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from ..claude_code.protocol import Message, RateLimits, Usage

#: Why an answer ended, by the names of Anthropic's Messages API.
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class SessionStarted(Struct, frozen=True):
    """The Claude Code session that answers has this id."""

    session_id: str


class Started(Struct, frozen=True):
    """The answer begins.

    Parameters
    ----------
    model:
        The model that answers; empty where the CLI does not say.
    usage:
        The tokens of the model's first message when it began.
    """

    model: str
    usage: Usage


class Text(Struct, frozen=True):
    """More text of the answer."""

    text: str


class Thinking(Struct, frozen=True):
    """More of what the model thinks."""

    text: str


class CallStarted(Struct, frozen=True):
    """The model calls a function of the client; `name` is the client's own."""

    id: str
    name: str


class CallArguments(Struct, frozen=True):
    """More of the arguments of the call that started last, which are JSON."""

    fragment: str


class CallEnded(Struct, frozen=True):
    """The arguments of the call that started last are complete."""


class ToolStarted(Struct, frozen=True):
    """Claude Code uses a tool of its own.

    Parameters
    ----------
    id:
        The id of the call, which `ToolEnded` has as well.
    name:
        The tool's name in Claude Code: ``Bash``, ``Read``, ``Agent``, …
    input:
        The arguments.
    parent_id:
        The call that started the sub-agent which uses the tool; None where it is the
        model that answers.
    """

    id: str
    name: str
    input: dict[str, Any]
    parent_id: str | None = None


class ToolEnded(Struct, frozen=True):
    """A tool of Claude Code has a result; `content` is text or content blocks.

    `failed` holds as well where Claude Code did not allow the tool.
    """

    id: str
    content: Any
    failed: bool = False
    parent_id: str | None = None


class LimitsChanged(Struct, frozen=True):
    """The CLI tells what the account may still use."""

    limits: RateLimits


class Corrected(Struct, frozen=True):
    """The model did not do what was asked and was told again.

    `parameter` is the field of the request that it had not obeyed.
    """

    parameter: str


class Ended(Struct, frozen=True):
    """The answer is complete, or cut off.

    Parameters
    ----------
    reason:
        Why it ended.
    usage:
        The tokens of all messages of the model in this turn.
    stop_sequence:
        The stop sequence that was reached, if one was.
    session_id:
        The Claude Code session that answered.
    cost_usd:
        What the turn cost, in US dollars; None where the CLI does not say.
    """

    reason: StopReason
    usage: Usage
    stop_sequence: str | None = None
    session_id: str = ""
    cost_usd: float | None = None


TurnEvent = (
    SessionStarted
    | Started
    | Text
    | Thinking
    | CallStarted
    | CallArguments
    | CallEnded
    | ToolStarted
    | ToolEnded
    | LimitsChanged
    | Corrected
    | Ended
)

#: What a turn is followed by: the CLI's messages, and what became of its rules.
TurnMessage = Message | Corrected


def merged(events: list[TurnEvent]) -> list[TurnEvent]:
    """The same events in fewer: neighbours that only add text are joined."""
    result: list[TurnEvent] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Text) and isinstance(last, Text):
            result[-1] = Text(last.text + event.text)
        elif isinstance(event, Thinking) and isinstance(last, Thinking):
            result[-1] = Thinking(last.text + event.text)
        elif isinstance(event, CallArguments) and isinstance(last, CallArguments):
            result[-1] = CallArguments(last.fragment + event.fragment)
        else:
            result.append(event)
    return result
