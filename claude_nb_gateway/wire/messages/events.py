"""From chat completion chunks to the events of a message, and to it whole. Pure."""

from __future__ import annotations

import json

import msgspec

from ...claude_code.protocol import Usage
from ...claude_code.surrogates import mended_json
from ..chat.events import ChunkBuilder
from ..chat.types import ChatCompletionChunk, ErrorBody, FinishReason, ToolCallDelta
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
    StopReason,
    TextDelta,
    TextOut,
    ThinkingDelta,
    ThinkingOut,
    ToolUseOut,
)

STOP_REASONS: dict[FinishReason, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}

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


# Of some the status does not say enough.
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


class MessageWire:
    """Follows the chunks of one answer, which `builder` makes."""

    names_events = True
    ends_with_done = False

    def __init__(
        self, builder: ChunkBuilder, request_id: str, *, shows_thoughts: bool
    ) -> None:
        self._builder = builder
        self._request_id = request_id
        self._shows_thoughts = shows_thoughts
        self._begun = False
        self._open: OutputBlock | None = None
        self._input: list[str] = []
        self._message = AssistantMessage(
            id=builder.id.replace("chatcmpl-", "msg_"),
            model=builder.model,
            usage=MessageUsage(),
        )

    def feed(self, chunk: ChatCompletionChunk) -> list[msgspec.Struct]:
        """The events that `chunk` becomes."""
        events: list[msgspec.Struct] = []
        message = self._message
        if not self._begun:
            self._begun = True
            message.model = chunk.model or message.model
            begun = msgspec.structs.replace(
                message, content=[], usage=_usage(self._builder.begun)
            )
            events.append(MessageStart(begun))
        for choice in chunk.choices:
            delta = choice.delta
            if delta.reasoning_content and self._shows_thoughts:
                events += self._thought(delta.reasoning_content)
            if delta.content:
                events += self._text(delta.content)
            for call in delta.tool_calls or []:
                events += self._call(call)
            if choice.finish_reason is not None:
                events += self._close()
                message.stop_reason = STOP_REASONS[choice.finish_reason]
                if self._builder.stopped_at is not None:
                    message.stop_reason = "stop_sequence"
                    message.stop_sequence = self._builder.stopped_at
        if chunk.usage:
            message.usage = _usage(self._builder.used)
            assert message.stop_reason is not None
            delta_out = StopDelta(message.stop_reason, message.stop_sequence)
            events += [MessageDelta(delta_out, message.usage), MessageStop()]
        return events

    def fail(self, error: ErrorBody) -> list[msgspec.Struct]:
        """The event that ends a stream which broke off."""
        default = error.type if error.type in _TYPES else "api_error"
        kind = _type_of_code(error) or default
        detail = ErrorDetail(kind, error.message)
        return [ErrorEvent(error=detail, request_id=self._request_id)]

    def whole(self) -> AssistantMessage:
        """The message."""
        return self._message

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

    def _call(self, call: ToolCallDelta) -> list[msgspec.Struct]:
        events: list[msgspec.Struct] = []
        if call.id:
            events = self._begin(ToolUseOut(call.id, call.function.name or "", {}))
        if fragment := call.function.arguments or "":
            self._input.append(fragment)
            events.append(ContentBlockDelta(self._index, InputJSONDelta(fragment)))
        return events

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
    # What is cut short at the limit is no JSON; the stop reason says so.
    try:
        parsed = json.loads(mended_json(arguments))
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
