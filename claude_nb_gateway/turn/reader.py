"""From the CLI's messages to the events of a turn. Pure.

Only this module knows how the CLI sends an answer: as raw events of the model's API, or
as whole content blocks if nothing was streamed. If the connection to the model's API
breaks off, the CLI sends the answer again from its start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from ..claude_code import protocol
from ..claude_code.protocol import (
    STRUCTURED_OUTPUT,
    ApiEvent,
    ApiMessage,
    Assistant,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    MessageDelta,
    MessageStart,
    RateLimitEvent,
    Result,
    StreamEvent,
    System,
    Usage,
    User,
)
from ..claude_code.tools import name_for_cli
from ..claude_code.turns import BETWEEN_MESSAGES, Conversation
from .events import (
    CallArguments,
    CallEnded,
    CallStarted,
    Corrected,
    Ended,
    LimitsChanged,
    SessionStarted,
    Started,
    StopReason,
    Text,
    Thinking,
    ToolDenied,
    ToolEnded,
    ToolProgress,
    ToolStarted,
    TurnEvent,
    TurnMessage,
)
from .retold import Characters, RetoldText, broken_off
from .stop import StopSequences
from .structured import StructuredAnswer

_STOP_REASONS: dict[str | None, StopReason] = {
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "refusal": "refusal",
    "tool_use": "tool_use",
}


class TurnReader:
    """Follows one turn and says what each message adds to the answer.

    Once `finished` is true, later messages add nothing.

    Parameters
    ----------
    conversation:
        The question with its history.
    streamed:
        Whether the client gets the answer while the model writes it. Otherwise an
        answer with a schema comes in one piece, once it matches.
    """

    def __init__(self, conversation: Conversation, *, streamed: bool) -> None:
        self.finished = False
        tools = conversation.setup.tools
        self._calls = _Calls({name_for_cli(tool.name): tool.name for tool in tools})
        clients = {name_for_cli(tool.name) for tool in tools}
        self._own_tools = _OwnTools(frozenset({*clients, STRUCTURED_OUTPUT}))
        self._stop = StopSequences(conversation.stop)
        self._structured = (
            StructuredAnswer(conversation.names.answer, streamed=streamed)
            if conversation.setup.schema
            else None
        )
        self._paragraphs = conversation.has_own_turns
        self._session_id = ""
        self._started = False
        # Whether the CLI streams the model's message, or sends only whole blocks.
        self._streaming = False
        self._starts_paragraph = False
        self._message_id = ""
        self._message_usage = Usage()
        self._usage = Usage()
        self._deltas = 0
        self._cost_usd: float | None = None
        self._text = RetoldText()
        self._thinking = RetoldText()
        self._fragments = Characters()

    def feed(self, message: TurnMessage) -> list[TurnEvent]:
        """The events of `message`, often none.

        Raises
        ------
        UpstreamError
            The model started its answer again, with other words.
        ConstraintUnmet
            The answer does not match its schema.
        """
        if self.finished:
            return []
        if isinstance(message, StreamEvent):
            if message.parent_tool_use_id is None:
                return self._event(message.event)
        elif isinstance(message, Assistant):
            return self._assistant(message)
        elif isinstance(message, User):
            return self._own_tools.results(message)
        elif isinstance(message, System):
            return self._session(message.session_id) + self._own_tools.denied(message)
        elif isinstance(message, protocol.ToolProgress):
            return self._own_tools.progress(message)
        elif isinstance(message, RateLimitEvent):
            return [LimitsChanged(message.rate_limit_info)]
        elif isinstance(message, Result):
            return self._result(message)
        elif isinstance(message, Corrected):
            return [message]
        return []

    def _session(self, session_id: str) -> list[TurnEvent]:
        if not session_id or session_id == self._session_id:
            return []
        self._session_id = session_id
        return [SessionStarted(session_id)]

    def _event(self, event: ApiEvent) -> list[TurnEvent]:
        if isinstance(event, ContentBlockDelta):
            self._deltas += 1
            if event.delta.partial_json:
                return self._arguments(event.delta.partial_json)
            return self._content(event.delta.text, event.delta.thinking)
        if isinstance(event, MessageStart):
            self._streaming = True
            return self._start(event.message)
        if isinstance(event, MessageDelta) and event.delta.stop_reason:
            return self._message_ends(event.delta.stop_reason, event.usage)
        if isinstance(event, ContentBlockStart):
            if self._structured is not None:
                self._structured.start(event.content_block)
            return self._calls.start(event.content_block)
        if isinstance(event, ContentBlockStop):
            return self._calls.end()
        return []

    def _message_ends(self, stop_reason: str, usage: Usage | None) -> list[TurnEvent]:
        self._usage = self._usage.plus(self._message_usage.updated_by(usage))
        reason = _STOP_REASONS.get(stop_reason)
        # After a cut the CLI continues by itself, and after calls it waits for their
        # results. For the client the answer ends here.
        calls = reason == "tool_use" and self._calls.any
        if reason == "max_tokens" or calls:
            return self._finish(stop_reason)
        self._settle()
        return []

    def _assistant(self, message: Assistant) -> list[TurnEvent]:
        events = self._own_tools.uses(message)
        if message.parent_tool_use_id is None and message.error is None:
            events = self._whole(message.message) + events
        return events

    def _result(self, result: Result) -> list[TurnEvent]:
        self._usage = result.usage or self._usage
        self._cost_usd = result.total_cost_usd
        cut_off = _STOP_REASONS.get(result.stop_reason) in ("max_tokens", "refusal")
        if self._structured is None or cut_off:
            return self._finish(result.stop_reason)
        return self._words(self._structured.finish(result)) + self._finish("end_turn")

    def _arguments(self, fragment: str) -> list[TurnEvent]:
        fragment = self._fragments.add(fragment)
        if not fragment:
            return []
        events = self._calls.add(fragment)
        if self._structured is not None:
            events += self._words(self._structured.add(fragment))
        return events

    def _start(self, message: ApiMessage) -> list[TurnEvent]:
        self._message_id = message.id
        self._message_usage = message.usage or Usage()
        if self._calls.any:
            raise broken_off()
        is_another = self._text.restart()
        self._starts_paragraph = is_another and self._paragraphs
        self._thinking.restart()
        if self._started:
            return []
        self._started = True
        return [Started(message.model, self._message_usage)]

    def _settle(self) -> None:
        self._text.settle()
        self._thinking.settle()

    def _whole(self, message: ApiMessage) -> list[TurnEvent]:
        events: list[TurnEvent] = []
        if message.id != self._message_id:
            self._streaming = False
            events = self._start(message)
        if not self._streaming:
            for block in message.content:
                events += self._content(
                    block.get("text", ""), block.get("thinking", "")
                )
        return events

    def _content(self, text: str, thinking: str) -> list[TurnEvent]:
        events: list[TurnEvent] = []
        if thinking and (new := self._thinking.add(thinking)):
            events.append(Thinking(new))
        # An answer with a schema has no room for other words.
        if text and self._structured is None and (new := self._text.add(text)):
            before = BETWEEN_MESSAGES if self._starts_paragraph else ""
            self._starts_paragraph = False
            events += self._words(before + new)
        return events

    def _words(self, text: str) -> list[TurnEvent]:
        events: list[TurnEvent] = []
        if new := self._stop.add(text):
            events.append(Text(new))
        if self._stop.reached is not None:
            # The turn is left here, so the CLI does not count its tokens: a delta is
            # about one token.
            self._usage = replace(self._message_usage, output_tokens=self._deltas)
            events.append(self._end("stop_sequence"))
        return events

    def _finish(self, stop_reason: str | None) -> list[TurnEvent]:
        if self.finished:  # by a stop sequence
            return []
        reason = _STOP_REASONS.get(stop_reason, "end_turn")
        if reason == "end_turn":
            self._settle()
        events = [] if self._started else self._start(ApiMessage())
        if held := self._stop.rest():
            events.append(Text(held))
        return [*events, self._end(reason)]

    def _end(self, reason: StopReason) -> Ended:
        self.finished = True
        return Ended(
            reason,
            self._usage,
            self._stop.reached,
            self._session_id,
            self._cost_usd,
        )


class _Calls:
    """The calls of the client's functions in one answer.

    `tools` maps the names that the model knows to those of the client.
    """

    def __init__(self, tools: Mapping[str, str]) -> None:
        self.any = False
        self._tools = tools
        self._open = False
        self._empty = True

    def start(self, block: Mapping[str, Any]) -> list[TurnEvent]:
        """A content block begins."""
        name = self._tools.get(block.get("name", ""))
        if name is None:
            return []
        self._open = self._empty = self.any = True
        return [CallStarted(block["id"], name)]

    def add(self, fragment: str) -> list[TurnEvent]:
        """A content block grows."""
        if not self._open:
            return []
        self._empty = False
        return [CallArguments(fragment)]

    def end(self) -> list[TurnEvent]:
        """A content block ends."""
        if not self._open:
            return []
        self._open = False
        # The CLI streams nothing for a call without arguments.
        arguments: list[TurnEvent] = [CallArguments("{}")] if self._empty else []
        return [*arguments, CallEnded()]


class _OwnTools:
    """The tools of Claude Code in one turn; `others` are names of other tools."""

    def __init__(self, others: frozenset[str]) -> None:
        self._others = others
        self._running: set[str] = set()

    def uses(self, message: Assistant) -> list[TurnEvent]:
        """The tools that a message of the model, or of a sub-agent, uses."""
        return [
            self._started(block, message.parent_tool_use_id)
            for block in message.message.content
            if block.get("type") == "tool_use" and block["name"] not in self._others
        ]

    def _started(self, block: Mapping[str, Any], parent_id: str | None) -> ToolStarted:
        self._running.add(block["id"])
        return ToolStarted(
            block["id"], block["name"], block.get("input") or {}, parent_id
        )

    def progress(self, message: protocol.ToolProgress) -> list[TurnEvent]:
        """How long a tool runs."""
        if message.tool_use_id not in self._running:
            return []
        return [
            ToolProgress(
                message.tool_use_id,
                message.elapsed_time_seconds,
                message.parent_tool_use_id,
            )
        ]

    def denied(self, message: System) -> list[TurnEvent]:
        """The tool that `message` says was denied, if it does."""
        if message.subtype != "permission_denied":
            return []
        reason = message.message if isinstance(message.message, str) else ""
        return [ToolDenied(message.tool_use_id, message.tool_name, reason)]

    def results(self, message: User) -> list[TurnEvent]:
        """The results that the CLI sends to the model in `message`."""
        content = message.message.get("content")
        blocks: Iterable[Any] = content if isinstance(content, list) else ()
        return [
            ToolEnded(
                block["tool_use_id"],
                block.get("content"),
                bool(block.get("is_error")),
                message.parent_tool_use_id,
            )
            for block in blocks
            if isinstance(block, dict) and block.get("tool_use_id") in self._running
        ]
