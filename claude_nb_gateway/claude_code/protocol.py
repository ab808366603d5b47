"""The NDJSON that the Claude Code CLI speaks with `--output-format stream-json`.

Pure: bytes in, typed messages out, and back. The types hold the fields this
package acts on; others are skipped while decoding. A message of an unknown type
or shape becomes an `Unknown` with its raw JSON: the CLI adds new ones freely.

The full description of every message is `sdk.d.ts` in the npm package
``@anthropic-ai/claude-agent-sdk``; the events inside `StreamEvent` are those of
https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from ..errors import ProtocolError
from . import surrogates

Json = dict[str, Any]

#: The tool whose arguments are the answer, where that has a schema.
STRUCTURED_OUTPUT = "StructuredOutput"


class Usage(Struct):
    """Token counts of a message or a turn."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: dict[str, int] | None = None

    def then(self, later: Usage | None) -> Usage:
        """These counts where `later` ones of the same message say nothing."""
        if later is None:
            return self
        return Usage(
            *(
                before if now is None else now
                for before, now in zip(astuple(self), astuple(later), strict=True)
            )
        )

    def plus(self, other: Usage) -> Usage:
        """The counts of two messages together."""
        return Usage(
            _sum(self.input_tokens, other.input_tokens),
            _sum(self.output_tokens, other.output_tokens),
            _sum(self.cache_creation_input_tokens, other.cache_creation_input_tokens),
            _sum(self.cache_read_input_tokens, other.cache_read_input_tokens),
            dict(
                Counter(self.output_tokens_details or {})
                + Counter(other.output_tokens_details or {})
            ),
        )


def _sum(one: int | None, other: int | None) -> int:
    return (one or 0) + (other or 0)


class ModelUsage(Struct, rename="camel"):
    """What the turns of a process have taken of one model so far."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cost_usd: float = msgspec.field(name="costUSD", default=0.0)

    def less(self, before: ModelUsage) -> ModelUsage:
        """What was taken since `before`."""
        pairs = zip(astuple(self), astuple(before), strict=True)
        return ModelUsage(*(max(now - then, 0) for now, then in pairs))


def total(usages: Iterable[ModelUsage]) -> ModelUsage:
    """What several models took together."""
    counts = map(astuple, [ModelUsage(), *usages])
    return ModelUsage(*map(sum, zip(*counts, strict=True)))


class ApiMessage(Struct):
    """A Messages API message; `model` is the one that really answered."""

    model: str = ""
    id: str = ""
    content: list[Json] = []
    usage: Usage | None = None


class Delta(Struct):
    """The changing part of a content block or message; only one field is set."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class MessageStart(Struct, tag="message_start"):
    """A model message begins."""

    message: ApiMessage


class ContentBlockStart(Struct, tag="content_block_start"):
    """A content block begins; for `tool_use` the block names the tool."""

    index: int
    content_block: Json


class ContentBlockDelta(Struct, tag="content_block_delta"):
    """A content block grows."""

    index: int
    delta: Delta


class ContentBlockStop(Struct, tag="content_block_stop"):
    """A content block is whole."""

    index: int


class MessageDelta(Struct, tag="message_delta"):
    """The message's stop reason and final usage."""

    delta: Delta
    usage: Usage | None = None


class MessageStop(Struct, tag="message_stop"):
    """The model message is whole."""


ApiEvent = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
)


class StreamEvent(Struct, tag="stream_event"):
    """A raw event of the Messages API; sub-agents' events have a parent."""

    event: ApiEvent
    parent_tool_use_id: str | None = None


class System(Struct, tag="system"):
    """The CLI about itself: `init`, `api_retry`, `permission_denied`, and others.

    `tool_use_id`, `tool_name` and `message` are those of a tool that was denied.
    """

    subtype: str = ""
    session_id: str = ""
    model: str = ""
    attempt: int | None = None
    max_retries: int | None = None
    error_status: int | None = None
    tools: list[str] | None = None
    tool_use_id: str = ""
    tool_name: str = ""
    message: Any = None


class Assistant(Struct, tag="assistant"):
    """A finished content block of the model; with `error` set, CLI's own text."""

    message: ApiMessage
    parent_tool_use_id: str | None = None
    error: str | None = None
    uuid: str = ""


class User(Struct, tag="user"):
    """A user turn of the CLI's making: tool results, notes."""

    message: Json
    parent_tool_use_id: str | None = None
    uuid: str = ""


class Result(Struct, tag="result"):
    """The end of a turn. `subtype` is no guide: only `is_error` tells."""

    is_error: bool = False
    subtype: str = ""
    api_error_status: int | None = None
    result: str | None = None
    usage: Usage | None = None
    stop_reason: str | None = None
    terminal_reason: str | None = None
    total_cost_usd: float | None = None
    model_usage: dict[str, ModelUsage] = msgspec.field(
        name="modelUsage", default_factory=dict
    )
    usage_since_last: dict[str, ModelUsage] | None = msgspec.field(
        name="model_usage_since_last_result", default=None
    )
    num_turns: int = 0
    structured_output: Any = None
    session_id: str = ""
    ttft_ms: float | None = None
    user_message_uuids: list[str] | None = None

    @property
    def was_interrupted(self) -> bool:
        """Whether the turn ended since it was told to."""
        return (self.terminal_reason or "").startswith("aborted")


class ToolProgress(Struct, tag="tool_progress"):
    """A tool still runs; the CLI says so every 30 seconds."""

    tool_use_id: str
    tool_name: str = ""
    parent_tool_use_id: str | None = None
    elapsed_time_seconds: float = 0.0


class CommandLifecycle(Struct, tag="command_lifecycle"):
    """What becomes of a user turn that was sent: queued, started, completed, …"""

    command_uuid: str
    state: str


class LimitWindow(Struct, rename="camel"):
    """How much of what the account may use in a time is used: 1 is all of it."""

    utilization: float | None = None
    resets_at: int | None = None


class RateLimits(Struct, rename="camel"):
    """What the account of a subscription may still use; times in Unix seconds."""

    status: str = ""
    resets_at: int | None = None
    unified_windows: dict[str, LimitWindow] = {}


class RateLimitEvent(Struct, tag="rate_limit_event"):
    """The limits have changed; only with a subscription's login."""

    rate_limit_info: RateLimits


class ControlAnswer(Struct):
    """The body of a `ControlResponse`."""

    request_id: str
    subtype: str = "success"
    response: Json | None = None
    error: str | None = None


class ControlResponse(Struct, tag="control_response"):
    """The CLI's answer to a control request of ours."""

    response: ControlAnswer


class ControlRequest(Struct, tag="control_request"):
    """The CLI asks its host: leave to use a tool, a call of an SDK tool, …"""

    request_id: str
    request: Json


Known = (
    StreamEvent
    | System
    | Assistant
    | User
    | Result
    | ToolProgress
    | CommandLifecycle
    | RateLimitEvent
    | ControlResponse
    | ControlRequest
)


class Unknown(Struct):
    """A message this version does not know, with its raw JSON."""

    raw: Json


Message = Known | Unknown

_decoder: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known)


def decode(line: bytes) -> Message:
    """Decode one line of the CLI's stdout.

    Raises
    ------
    ProtocolError
        The line is not a JSON object, or is nested too deeply.
    """
    try:
        try:
            return _decoder.decode(line)
        except msgspec.DecodeError:
            return _decode_leniently(line)
    except RecursionError:
        # A model may be asked for such arguments of a call.
        raise ProtocolError(
            "The Claude Code CLI wrote something that is nested too deeply."
        ) from None


def _decode_leniently(line: bytes) -> Message:
    # msgspec refuses a lone surrogate, which JavaScript writes when a token ends
    # inside a character; and it refuses types it was not told of.
    try:
        raw = json.loads(line)
    except ValueError:
        raw = None
    if isinstance(raw, dict) and raw.get("type") != "stream_event":
        # The other half of what a delta ends in comes with the next one.
        raw = json.loads(surrogates.encode(raw))
    if not isinstance(raw, dict):
        start = line[:200].decode(errors="replace")
        raise ProtocolError(
            "The Claude Code CLI wrote something that is not JSON.",
            detail=f"stdout: {start!r}",
        )
    try:
        message: Known = msgspec.convert(raw, Known)
    except msgspec.ValidationError:
        return Unknown(raw)
    return message


def encode(message: Json) -> bytes:
    """One line for the CLI's stdin."""
    return surrogates.encode(message) + b"\n"


class LineFramer:
    """Cuts a byte stream into lines of at most `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their newline.

        Raises
        ------
        ProtocolError
            An unfinished line outgrew the limit.
        """
        *complete, rest = data.split(b"\n")
        if complete:
            complete[0] = b"".join([*self._pieces, complete[0]])
            self._pieces.clear()
            self._held = 0
        if rest:
            self._pieces.append(rest)
            self._held += len(rest)
        longest = max(self._held, *map(len, complete)) if complete else self._held
        if longest > self.limit_bytes:
            raise ProtocolError(
                "The Claude Code CLI wrote a line longer than the gateway accepts.",
                detail=f"over {self.limit_bytes} bytes: raise line_limit_bytes",
            )
        return [line for line in complete if line]


def user_message(content: str | list[Json], *, query: bool = True) -> Json:
    """A user turn, verbatim; with `query=False` it is recorded and not answered.

    ``client_composed`` keeps the CLI from acting on the text: without it a
    leading slash is a command and ``@path`` is expanded with the file's content. Its
    ``uuid`` is the one that it has in the transcript.
    """
    message: Json = {
        "type": "user",
        "message": {"role": "user", "content": content},
        "parent_tool_use_id": None,
        "session_id": "",
        "uuid": str(uuid.uuid4()),
        "client_composed": True,
    }
    if not query:
        message["shouldQuery"] = False
    return message


def assistant_message(content: list[Json]) -> Json:
    """An assistant turn that is recorded as history."""
    return {
        "type": "assistant",
        "message": {"role": "assistant", "content": content},
        "parent_tool_use_id": None,
        "session_id": "",
    }


def control_error(request_id: str, text: str) -> Json:
    """The answer to a request of the CLI's that is not honoured."""
    answer = {"subtype": "error", "request_id": request_id, "error": text}
    return {"type": "control_response", "response": answer}


def control_request(request_id: str, request: Json) -> Json:
    """A request of the host's to the CLI itself."""
    return {"type": "control_request", "request_id": request_id, "request": request}
