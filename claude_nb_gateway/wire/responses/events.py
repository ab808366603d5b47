"""From the events of a turn to the events of a response, or to a whole one. Pure."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ...claude_code.protocol import Usage
from ...errors import InvalidRequest
from ...turn.events import (
    CallArguments,
    CallStarted,
    Ended,
    Started,
    StopReason,
    Text,
    Thinking,
    TurnEvent,
)
from ..errors import ErrorBody
from .event_types import (
    ArgumentsDelta,
    ArgumentsDone,
    ContentPartAdded,
    ContentPartDone,
    CustomInputDelta,
    CustomInputDone,
    Event,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
    SummaryPartAdded,
    SummaryPartDone,
    SummaryTextDelta,
    SummaryTextDone,
)
from .tool_types import CustomToolCallOut, LocalShellCallOut
from .tools import ClientTools, fill
from .types import (
    FunctionCallOut,
    IncompleteDetails,
    InputTokensDetails,
    ItemStatus,
    JSONSchemaText,
    OutputItem,
    OutputMessage,
    OutputText,
    OutputTokensDetails,
    Reasoning,
    ReasoningItem,
    Response,
    ResponseError,
    ResponseRequest,
    ResponseUsage,
    SummaryText,
    TextConfig,
)

INCOMPLETE: dict[StopReason, IncompleteDetails] = {
    "max_tokens": IncompleteDetails("max_output_tokens"),
    "refusal": IncompleteDetails("content_filter"),
}

# Clients look at these codes of failures to decide what to do. All others become one.
FAILURES = frozenset(
    {
        "rate_limit_exceeded",
        "insufficient_quota",
        "context_length_exceeded",
        "server_is_overloaded",
    }
)

MOST_METADATA = 16

Value = TypeVar("Value")


def response_to(request: ResponseRequest, tools: ClientTools) -> Response:
    """The response to `request`, not started.

    Raises
    ------
    InvalidRequest
        There is more metadata than OpenAI accepts.
    """
    metadata = request.metadata or {}
    if len(metadata) > MOST_METADATA:
        raise InvalidRequest(
            f"`metadata` has more than {MOST_METADATA} entries.", param="metadata"
        )
    return Response(
        id=f"resp_{uuid.uuid4().hex}",
        created_at=int(time.time()),
        background=bool(request.background),
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        model=request.model or "",
        parallel_tool_calls=_or(request.parallel_tool_calls, True),
        previous_response_id=request.previous_response_id,
        reasoning=request.reasoning or Reasoning(),
        store=request.store is not False,
        temperature=_or(request.temperature, 1.0),
        presence_penalty=_or(request.presence_penalty, 0.0),
        frequency_penalty=_or(request.frequency_penalty, 0.0),
        text=_shown(request.text),
        tool_choice=request.tool_choice or "auto",
        tools=tools.shown,
        top_p=_or(request.top_p, 1.0),
        truncation=request.truncation or "disabled",
        safety_identifier=request.safety_identifier,
        prompt_cache_key=request.prompt_cache_key,
        metadata=metadata,
    )


def _or(value: Value | None, default: Value) -> Value:
    return default if value is None else value


def _shown(text: TextConfig | None) -> TextConfig:
    if text is None or not isinstance(text.format, JSONSchemaText):
        return text or TextConfig()
    # A missing `strict` is shown as false.
    wanted = replace(text.format, strict=bool(text.format.strict))
    return replace(text, format=wanted)


class ResponseWriter:
    """Writes one answer as OpenAI's events; `response` is the answer so far.

    Parameters
    ----------
    response:
        See `response_to`.
    shows_thoughts:
        Whether the client wants to see what the model thinks.
    tools:
        The tools of the request.
    """

    names_events = True
    ends_with_done = True

    def __init__(
        self,
        response: Response,
        *,
        shows_thoughts: bool = False,
        tools: ClientTools | None = None,
    ) -> None:
        self.response = response
        self._tools = tools or ClientTools()
        self._arguments: list[str] = []
        self._shows_thoughts = shows_thoughts
        self._sent = 0
        self._open: OutputItem | None = None

    def write(self, event: TurnEvent) -> list[Event]:
        """The events for `event`."""
        return self._numbered(self._events_of(event))

    def _events_of(self, event: TurnEvent) -> list[Event]:
        if isinstance(event, Text):
            return self._text(event.text)
        if isinstance(event, Thinking):
            return self._thought(event.text) if self._shows_thoughts else []
        if isinstance(event, Started):
            self.response.model = event.model or self.response.model
            return self._created()
        if isinstance(event, CallStarted):
            return self._begin(self._tools.begin(event.id, event.name, _id))
        if isinstance(event, CallArguments):
            return self._more_arguments(event.fragment)
        if isinstance(event, Ended):
            return self._end(event.reason, event.usage)
        return []

    def fail(self, error: ErrorBody) -> list[Event]:
        """The event that ends a stream which broke off."""
        code = error.code or ""
        self._close("incomplete")
        self.response.status = "failed"
        self.response.error = ResponseError(
            code if code in FAILURES else "server_error", error.message
        )
        return self._numbered([ResponseFailed(response=self.response)])

    def cancel(self) -> list[Event]:
        """The last event of a response that somebody cancelled."""
        self._close("incomplete")
        self.response.status = "cancelled"
        return self._numbered([ResponseIncomplete(response=self.response)])

    def skip(self) -> list[Event]:
        """All events of a response that does not ask the model."""
        return self._numbered([*self._created(), *self._end("end_turn", Usage())])

    def preceded(self, note: Event, events: Iterable[Struct]) -> list[Event]:
        """`note` and then `events`, which were made last, with new numbers."""
        made = [event for event in events if isinstance(event, Event)]
        self._sent -= len(made)
        return self._numbered([note, *made])

    def whole(self) -> Response:
        """The response."""
        return self.response

    def _numbered(self, events: Sequence[Event]) -> list[Event]:
        for event in events:
            event.sequence_number = self._sent
            self._sent += 1
        return list(events)

    def _created(self) -> list[Event]:
        self.response.status = "in_progress"
        return [
            ResponseCreated(response=replace(self.response, output=[])),
            ResponseInProgress(response=replace(self.response, output=[])),
        ]

    @property
    def _index(self) -> int:
        return len(self.response.output) - 1

    def _thought(self, text: str) -> list[Event]:
        events: list[Event] = []
        item = self._open
        if not isinstance(item, ReasoningItem):
            item = ReasoningItem(_id("rs"))
            events = self._begin(item)
            item.summary = [SummaryText("")]
            events.append(
                SummaryPartAdded(
                    item_id=item.id,
                    output_index=self._index,
                    summary_index=0,
                    part=SummaryText(""),
                )
            )
        item.summary[0].text += text
        delta = SummaryTextDelta(
            item_id=item.id, output_index=self._index, summary_index=0, delta=text
        )
        return [*events, delta]

    def _text(self, text: str) -> list[Event]:
        events: list[Event] = []
        item = self._open
        if not isinstance(item, OutputMessage):
            item = OutputMessage(id=_id("msg"))
            events = self._begin(item)
            item.content = [OutputText("")]
            events.append(
                ContentPartAdded(
                    item_id=item.id,
                    output_index=self._index,
                    content_index=0,
                    part=OutputText(""),
                )
            )
        item.content[0].text += text
        delta = OutputTextDelta(
            item_id=item.id, output_index=self._index, content_index=0, delta=text
        )
        return [*events, delta]

    def _more_arguments(self, fragment: str) -> list[Event]:
        item = self._open
        if isinstance(item, CustomToolCallOut | LocalShellCallOut):
            # The client gets it when it is complete: until then it is JSON, and the
            # client expects plain text.
            self._arguments.append(fragment)
            return []
        assert isinstance(item, FunctionCallOut)
        item.arguments += fragment
        return [
            ArgumentsDelta(item_id=item.id, output_index=self._index, delta=fragment)
        ]

    def _begin(self, item: OutputItem) -> list[Event]:
        events = self._close()
        self._open = item
        self.response.output.append(item)
        added = OutputItemAdded(output_index=self._index, item=replace(item))
        return [*events, added]

    def _close(self, status: ItemStatus = "completed") -> list[Event]:
        item, self._open = self._open, None
        if item is None:
            return []
        events = self._completed(item)
        if not isinstance(item, CustomToolCallOut):
            item.status = status
        return [*events, OutputItemDone(output_index=self._index, item=item)]

    def _completed(self, item: OutputItem) -> list[Event]:
        """The events that say that the content of `item` is complete."""
        at: dict[str, Any] = {"item_id": item.id, "output_index": self._index}
        if isinstance(item, ReasoningItem):
            thought = item.summary[0]
            return [
                SummaryTextDone(**at, summary_index=0, text=thought.text),
                SummaryPartDone(**at, summary_index=0, part=thought),
            ]
        if isinstance(item, OutputMessage):
            said = item.content[0]
            return [
                OutputTextDone(**at, content_index=0, text=said.text),
                ContentPartDone(**at, content_index=0, part=said),
            ]
        if isinstance(item, FunctionCallOut):
            return [ArgumentsDone(**at, name=item.name, arguments=item.arguments)]
        fill(item, self._written())
        if isinstance(item, LocalShellCallOut):
            return []
        return [
            CustomInputDelta(**at, delta=item.input),
            CustomInputDone(**at, input=item.input),
        ]

    def _written(self) -> str:
        arguments = "".join(self._arguments)
        self._arguments.clear()
        return arguments

    def _end(self, reason: StopReason, usage: Usage) -> list[Event]:
        details = INCOMPLETE.get(reason)
        events = self._close("completed" if details is None else "incomplete")
        self.response.usage = response_usage(usage)
        self.response.completed_at = int(time.time())
        if details is None:
            self.response.status = "completed"
            return [*events, ResponseCompleted(response=self.response)]
        self.response.status = "incomplete"
        self.response.incomplete_details = details
        return [*events, ResponseIncomplete(response=self.response)]


def response_usage(usage: Usage) -> ResponseUsage:
    """The token counts of a turn in the fields of a response."""
    input_tokens, output_tokens = usage.all_input_tokens, usage.output_tokens or 0
    return ResponseUsage(
        input_tokens=input_tokens,
        input_tokens_details=InputTokensDetails(usage.cached_tokens),
        output_tokens=output_tokens,
        output_tokens_details=OutputTokensDetails(usage.thinking_tokens),
        total_tokens=input_tokens + output_tokens,
    )


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
