"""From the events of a turn to the events of a message, or to a whole one. Pure."""

from __future__ import annotations

import json
import uuid

import msgspec

from ...claude_code.protocol import Usage
from ...claude_code.surrogates import repaired_json
from ...turn.events import (
    CallArguments,
    CallStarted,
    Ended,
    Started,
    Text,
    Thinking,
    TurnEvent,
)
from ..errors import ErrorBody
from .types import (
    AssistantMessage,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorDetail,
    ErrorEvent,
    InputJSONDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    MessageUsage,
    OutputBlock,
    StopDelta,
    TextDelta,
    TextOut,
    ThinkingDelta,
    ThinkingOut,
    ToolUseOut,
)

#: Anthropic's names of errors: https://docs.anthropic.com/en/api/errors
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


# Codes of errors that are more precise than the status.
_TYPES_OF_CODES = {
    "insufficient_quota": "billing_error",
    "request_too_large": "request_too_large",
    "server_is_overloaded": "overloaded_error",
    "timeout": "timeout_error",
}
_TYPES = frozenset(ERROR_TYPES.values())


def error_event(error: ErrorBody, status: int, request_id: str) -> ErrorEvent:
    """The error with this HTTP status in Anthropic's shape."""
    default = "invalid_request_error" if status < 500 else "api_error"
    kind = _type_of_code(error) or ERROR_TYPES.get(status, default)
    return ErrorEvent(error=ErrorDetail(kind, error.message), request_id=request_id)


def _type_of_code(error: ErrorBody) -> str | None:
    return _TYPES_OF_CODES.get(error.code or "")


class MessageWriter:
    """Writes one answer, as Anthropic's events or whole.

    Parameters
    ----------
    model:
        The model that the client named, until the one that answers is known.
    request_id:
        The id of the request, which errors contain.
    shows_thoughts:
        Whether the client wants to see what the model thinks.
    """

    names_events = True
    ends_with_done = False

    def __init__(self, model: str, request_id: str, *, shows_thoughts: bool) -> None:
        self._request_id = request_id
        self._shows_thoughts = shows_thoughts
        self._open: OutputBlock | None = None
        self._input: list[str] = []
        self._message = AssistantMessage(
            id=f"msg_{uuid.uuid4().hex}", model=model, usage=MessageUsage()
        )

    def write(self, event: TurnEvent) -> list[msgspec.Struct]:
        """The events for `event`."""
        if isinstance(event, Text):
            return self._text(event.text)
        if isinstance(event, Thinking):
            return self._thought(event.text) if self._shows_thoughts else []
        if isinstance(event, Started):
            return self._start(event)
        if isinstance(event, CallStarted):
            return self._begin(ToolUseOut(event.id, event.name, {}))
        if isinstance(event, CallArguments):
            self._input.append(event.fragment)
            return [ContentBlockDelta(self._index, InputJSONDelta(event.fragment))]
        if isinstance(event, Ended):
            return self._end(event)
        return []

    def fail(self, error: ErrorBody) -> list[msgspec.Struct]:
        """The event that ends a stream which broke off."""
        default = error.type if error.type in _TYPES else "api_error"
        kind = _type_of_code(error) or default
        detail = ErrorDetail(kind, error.message)
        return [ErrorEvent(error=detail, request_id=self._request_id)]

    def whole(self) -> AssistantMessage:
        """The message."""
        return self._message

    def _start(self, started: Started) -> list[msgspec.Struct]:
        self._message.model = started.model or self._message.model
        begun = msgspec.structs.replace(
            self._message, content=[], usage=_usage(started.usage)
        )
        return [MessageStart(begun)]

    def _end(self, ended: Ended) -> list[msgspec.Struct]:
        events = self._close()
        message = self._message
        message.stop_reason = ended.reason
        message.stop_sequence = ended.stop_sequence
        message.usage = _usage(ended.usage)
        stop = StopDelta(ended.reason, ended.stop_sequence)
        return [*events, MessageDelta(stop, message.usage), MessageStop()]

    @property
    def _index(self) -> int:
        return len(self._message.content) - 1

    def _thought(self, text: str) -> list[msgspec.Struct]:
        events: list[msgspec.Struct] = []
        block = self._open
        if not isinstance(block, ThinkingOut):
            block = ThinkingOut("")
            events = self._begin(block)
        block.thinking += text
        return [*events, ContentBlockDelta(self._index, ThinkingDelta(text))]

    def _text(self, text: str) -> list[msgspec.Struct]:
        events: list[msgspec.Struct] = []
        block = self._open
        if not isinstance(block, TextOut):
            block = TextOut("")
            events = self._begin(block)
        block.text += text
        return [*events, ContentBlockDelta(self._index, TextDelta(text))]

    def _begin(self, block: OutputBlock) -> list[msgspec.Struct]:
        events = self._close()
        self._open = block
        self._message.content.append(block)
        begun = msgspec.structs.replace(block)
        return [*events, ContentBlockStart(self._index, begun)]

    def _close(self) -> list[msgspec.Struct]:
        block, self._open = self._open, None
        if block is None:
            return []
        if isinstance(block, ToolUseOut):
            block.input = _parsed("".join(self._input))
            self._input.clear()
        return [ContentBlockStop(self._index)]


def _parsed(arguments: str) -> dict[str, object]:
    # Arguments that were cut at the limit are not JSON; the stop reason says so.
    try:
        parsed = json.loads(repaired_json(arguments))
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _usage(usage: Usage) -> MessageUsage:
    return MessageUsage(
        usage.input_tokens or 0,
        usage.cache_creation_input_tokens or 0,
        usage.cache_read_input_tokens or 0,
        usage.output_tokens or 0,
    )
