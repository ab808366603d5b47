"""The events of a turn, in the order in which they happen.

`reader` makes them from the CLI's messages. Each API shows the events that it has words
for. A turn ends with `Ended`, or it raises an error.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from ..claude_code.protocol import Message, RateLimits, Usage

#: Why an answer ended, in the words of Anthropic's Messages API.
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class SessionStarted(Struct, frozen=True):
    """The id of the Claude Code session that answers."""

    session_id: str


class Started(Struct, frozen=True):
    """The answer begins.

    Parameters
    ----------
    model:
        The model that answers; empty if the CLI does not say.
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
    """The model calls a function of the client; `name` is the client's name for it."""

    id: str
    name: str


class CallArguments(Struct, frozen=True):
    """More of the arguments, in JSON, of the call that started last."""

    fragment: str


class CallEnded(Struct, frozen=True):
    """The arguments of the call that started last are complete."""


class ToolStarted(Struct, frozen=True):
    """Claude Code uses a tool of its own. The tool ``Agent`` is a sub-agent.

    Parameters
    ----------
    id:
        The id of the call; `ToolEnded` has the same one.
    name:
        The tool's name in Claude Code: ``Bash``, ``Read``, ``Agent``, …
    input:
        The arguments.
    parent_id:
        The call that started the sub-agent which uses the tool; None if the answering
        model uses it.
    """

    id: str
    name: str
    input: dict[str, Any]
    parent_id: str | None = None


class ToolProgress(Struct, frozen=True):
    """A tool of Claude Code still runs, after this number of seconds."""

    id: str
    elapsed_seconds: float
    parent_id: str | None = None


class ToolDenied(Struct, frozen=True):
    """Claude Code did not allow the tool; `reason` is what the model reads."""

    id: str
    name: str
    reason: str


class ToolEnded(Struct, frozen=True):
    """A tool of Claude Code has a result; `content` is text or content blocks.

    `failed` is also true if the tool was denied.
    """

    id: str
    content: Any
    failed: bool = False
    parent_id: str | None = None


class LimitsChanged(Struct, frozen=True):
    """The limits of the account have changed."""

    limits: RateLimits


class Corrected(Struct, frozen=True):
    """The model did not obey the request, and was asked once more.

    `parameter` is the field that it did not obey.
    """

    parameter: str


class Ended(Struct, frozen=True):
    """The answer is complete or cut off.

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
        The cost of the turn in US dollars; None if the CLI does not say.
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
    | ToolProgress
    | ToolDenied
    | ToolEnded
    | LimitsChanged
    | Corrected
    | Ended
)

#: What `asking` yields: messages of the CLI, and events that the CLI knows nothing of.
TurnMessage = Message | Corrected


def merged(events: list[TurnEvent]) -> list[TurnEvent]:
    """`events` with neighbours joined that only add text."""
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
