"""The messages of the Claude Code CLI with `--output-format stream-json`.

The format is NDJSON: one JSON object per line. The module decodes bytes into typed
messages, encodes messages into bytes, and does no I/O. The types have only the
fields that this package uses; the decoder skips the others. A message of an unknown
type or shape becomes an `Unknown` with its raw JSON, because the CLI adds new ones at
any time.

`sdk.d.ts` in the npm package ``@anthropic-ai/claude-agent-sdk`` describes every
message. The events inside `StreamEvent` are those of
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

#: The tool whose arguments are the answer, if the answer has a schema.
STRUCTURED_OUTPUT = "StructuredOutput"


class Usage(Struct):
    """Numbers of tokens of a message or a turn."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: dict[str, int] | None = None

    @property
    def all_input_tokens(self) -> int:
        """The input tokens with those of the cache, as OpenAI counts them.

        Anthropic counts the cache's beside `input_tokens`.
        """
        cached = self.cached_tokens + (self.cache_creation_input_tokens or 0)
        return (self.input_tokens or 0) + cached

    @property
    def cached_tokens(self) -> int:
        """The input tokens that came from the cache."""
        return self.cache_read_input_tokens or 0

    @property
    def thinking_tokens(self) -> int:
        """The output tokens that the model thought in."""
        return (self.output_tokens_details or {}).get("thinking_tokens", 0)

    def updated_by(self, later: Usage | None) -> Usage:
        """The counts of `later`, of the same message; those it lacks are kept."""
        if later is None:
            return self
        return Usage(
            *(
                old if new is None else new
                for old, new in zip(astuple(self), astuple(later), strict=True)
            )
        )

    def plus(self, other: Usage) -> Usage:
        """The sums of the counts of two messages."""
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
    """The usage of one model in all turns of a process so far."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cost_usd: float = msgspec.field(name="costUSD", default=0.0)

    def minus(self, earlier: ModelUsage) -> ModelUsage:
        """The usage since `earlier`; no count is negative."""
        pairs = zip(astuple(self), astuple(earlier), strict=True)
        return ModelUsage(*(max(new - old, 0) for new, old in pairs))


def total(usages: Iterable[ModelUsage]) -> ModelUsage:
    """The sum of the usage of several models."""
    counts = map(astuple, [ModelUsage(), *usages])
    return ModelUsage(*map(sum, zip(*counts, strict=True)))


class ApiMessage(Struct):
    """A Messages API message; `model` is the model that actually answered."""

    model: str = ""
    id: str = ""
    content: list[Json] = []
    usage: Usage | None = None


class Delta(Struct):
    """What changes in a content block or message; only one field is set."""

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
    """A content block gets more content."""

    index: int
    delta: Delta


class ContentBlockStop(Struct, tag="content_block_stop"):
    """A content block is complete."""

    index: int


class MessageDelta(Struct, tag="message_delta"):
    """The stop reason and the final usage of the message."""

    delta: Delta
    usage: Usage | None = None


class MessageStop(Struct, tag="message_stop"):
    """The model message is complete."""


ApiEvent = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
)


class StreamEvent(Struct, tag="stream_event"):
    """A raw event of the Messages API; the events of sub-agents have a parent."""

    event: ApiEvent
    parent_tool_use_id: str | None = None


class System(Struct, tag="system"):
    """A report of the CLI: `init`, `api_retry`, `permission_denied`, and others.

    `tool_use_id`, `tool_name` and `message` are set for a call that was denied.
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
    """A complete content block of the model; with `error`, a text of the CLI."""

    message: ApiMessage
    parent_tool_use_id: str | None = None
    error: str | None = None
    uuid: str = ""


class User(Struct, tag="user"):
    """A user turn that the CLI made itself: tool results, notes."""

    message: Json
    parent_tool_use_id: str | None = None
    uuid: str = ""


class Result(Struct, tag="result"):
    """The end of a turn. Only `is_error` says whether it failed, not `subtype`."""

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
        """Whether the turn ended because of an interrupt."""
        return (self.terminal_reason or "").startswith("aborted")


class ToolProgress(Struct, tag="tool_progress"):
    """A tool is still running; the CLI reports this every 30 seconds."""

    tool_use_id: str
    tool_name: str = ""
    parent_tool_use_id: str | None = None
    elapsed_time_seconds: float = 0.0


class CommandLifecycle(Struct, tag="command_lifecycle"):
    """The new state of a user turn that was sent: queued, started, completed, …"""

    command_uuid: str
    state: str


class LimitWindow(Struct, rename="camel"):
    """One time window of the account's limits; a `utilization` of 1 is all of it."""

    utilization: float | None = None
    resets_at: int | None = None


class RateLimits(Struct, rename="camel"):
    """The limits of a subscription's account; times are in Unix seconds."""

    status: str = ""
    resets_at: int | None = None
    unified_windows: dict[str, LimitWindow] = {}


class RateLimitEvent(Struct, tag="rate_limit_event"):
    """The limits have changed; sent only with the login of a subscription."""

    rate_limit_info: RateLimits


class ControlAnswer(Struct):
    """The body of a `ControlResponse`."""

    request_id: str
    subtype: str = "success"
    response: Json | None = None
    error: str | None = None


class ControlResponse(Struct, tag="control_response"):
    """The CLI's answer to a control request of this package."""

    response: ControlAnswer


class ControlRequest(Struct, tag="control_request"):
    """A request to this package: a permission for a tool, a call of an SDK tool, …"""

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
    """A message that this version does not know, with its raw JSON."""

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
        # A client can ask the model for arguments of a call that are so deep.
        raise ProtocolError(
            "The Claude Code CLI wrote a message that is nested too deeply."
        ) from None


def _decode_leniently(line: bytes) -> Message:
    # msgspec refuses message types that it does not know. It also refuses a lone
    # surrogate, which JavaScript writes when a token ends inside a character.
    try:
        raw = json.loads(line)
    except ValueError:
        raw = None
    if isinstance(raw, dict) and raw.get("type") != "stream_event":
        # A delta keeps its lone surrogate: the next delta has the other half.
        raw = json.loads(surrogates.encode(raw))
    if not isinstance(raw, dict):
        start = line[:200].decode(errors="replace")
        raise ProtocolError(
            "The Claude Code CLI wrote a line that is not a JSON object.",
            detail=f"stdout: {start!r}",
        )
    try:
        message: Known = msgspec.convert(raw, Known)
    except msgspec.ValidationError:
        return Unknown(raw)
    return message


def encode(message: Json) -> bytes:
    """The line for the CLI's stdin."""
    return surrogates.encode(message) + b"\n"


def user_message(content: str | list[Json], *, query: bool = True) -> Json:
    """A user turn, verbatim; with `query=False` it is recorded and not answered.

    ``client_composed`` stops the CLI from interpreting the text. Without it, a
    leading slash starts a command, and the CLI expands ``@path`` with the content of
    the file. The transcript has the turn under the same ``uuid``.
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
    """The answer that refuses a request of the CLI."""
    answer = {"subtype": "error", "request_id": request_id, "error": text}
    return {"type": "control_response", "response": answer}


def control_request(request_id: str, request: Json) -> Json:
    """A request from this package to the CLI itself."""
    return {"type": "control_request", "request_id": request_id, "request": request}
