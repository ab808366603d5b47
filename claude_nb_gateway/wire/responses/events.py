"""From chat completion chunks to the events of a response, and to it whole. Pure."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ...errors import InvalidRequest
from ..chat.types import (
    ChatCompletionChunk,
    CompletionTokensDetails,
    CompletionUsage,
    ErrorBody,
    FinishReason,
    PromptTokensDetails,
    ToolCallDelta,
)
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

INCOMPLETE: dict[FinishReason, IncompleteDetails] = {
    "length": IncompleteDetails("max_output_tokens"),
    "content_filter": IncompleteDetails("content_filter"),
}

# The codes of failures by which clients decide what to do next; all others are one.
FAILURES = frozenset(
    {
        "rate_limit_exceeded",
        "insufficient_quota",
        "context_length_exceeded",
        "server_is_overloaded",
    }
)

NOTHING_USED = CompletionUsage(
    0, 0, 0, PromptTokensDetails(), CompletionTokensDetails()
)

MOST_METADATA = 16

Value = TypeVar("Value")


def response_to(request: ResponseRequest, tools: ClientTools) -> Response:
    """The response to `request`, not begun.

    Raises
    ------
    InvalidRequest
        There is more metadata than OpenAI takes.
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
        tools=tools.told,
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
    # Who leaves `strict` out does not ask for it.
    wanted = replace(text.format, strict=bool(text.format.strict))
    return replace(text, format=wanted)


class ResponseWire:
    """Follows the chunks of one answer; `response` is what they have made so far.

    Parameters
    ----------
    response:
        As `response_to` makes it.
    shows_thoughts:
        Whether the client wants to see what the model thinks.
    tools:
        What the model may call.
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
        self._begun = False
        self._sent = 0
        self._open: OutputItem | None = None
        self._finish_reason: FinishReason = "stop"

    def feed(self, chunk: ChatCompletionChunk) -> list[Event]:
        """The events that `chunk` becomes."""
        events: list[Event] = []
        self.response.model = chunk.model or self.response.model
        if not self._begun:
            self._begun = True
            events += self._created()
        for choice in chunk.choices:
            delta = choice.delta
            if delta.reasoning_content and self._shows_thoughts:
                events += self._thought(delta.reasoning_content)
            if delta.content:
                events += self._text(delta.content)
            for call in delta.tool_calls or []:
                events += self._call(call)
            self._finish_reason = choice.finish_reason or self._finish_reason
        if chunk.usage:
            events += self._end(chunk.usage)
        return self._numbered(events)

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
        """The event that ends a stream which somebody has cancelled."""
        self._close("incomplete")
        self.response.status = "cancelled"
        return self._numbered([ResponseIncomplete(response=self.response)])

    def skip(self) -> list[Event]:
        """The events of a response for which the model is not asked."""
        return self._numbered([*self._created(), *self._end(NOTHING_USED)])

    def preceded(self, note: Event, events: Iterable[Struct]) -> list[Event]:
        """`note` and then `events`, the last ones made, numbered anew."""
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

    def _call(self, call: ToolCallDelta) -> list[Event]:
        events: list[Event] = []
        function = call.function
        if call.id:
            begun = self._tools.begin(call.id, function.name or "", _id)
            events = self._begin(begun)
        item = self._open
        if isinstance(item, CustomToolCallOut | LocalShellCallOut):
            # Said when it is whole: until then it is JSON, which the client's is not.
            self._arguments.append(function.arguments or "")
            return events
        assert isinstance(item, FunctionCallOut)
        if function.arguments:
            item.arguments += function.arguments
            events.append(
                ArgumentsDelta(
                    item_id=item.id,
                    output_index=self._index,
                    delta=function.arguments,
                )
            )
        return events

    def _begin(self, item: OutputItem) -> list[Event]:
        events = self._close()
        self._open = item
        self.response.output.append(item)
        added = OutputItemAdded(output_index=self._index, item=replace(item))
        return [*events, added]

    def _close(self, status: ItemStatus = "completed") -> list[Event]:
        item, self._open = self._open, None
        events: list[Event] = []
        if item is None:
            return events
        at, item_id = self._index, item.id
        if isinstance(item, ReasoningItem):
            thought = item.summary[0]
            events = [
                SummaryTextDone(
                    item_id=item_id,
                    output_index=at,
                    summary_index=0,
                    text=thought.text,
                ),
                SummaryPartDone(
                    item_id=item_id, output_index=at, summary_index=0, part=thought
                ),
            ]
        elif isinstance(item, OutputMessage):
            said = item.content[0]
            events = [
                OutputTextDone(
                    item_id=item_id, output_index=at, content_index=0, text=said.text
                ),
                ContentPartDone(
                    item_id=item_id, output_index=at, content_index=0, part=said
                ),
            ]
        elif isinstance(item, CustomToolCallOut):
            fill(item, self._written())
            events = [
                CustomInputDelta(item_id=item_id, output_index=at, delta=item.input),
                CustomInputDone(item_id=item_id, output_index=at, input=item.input),
            ]
        elif isinstance(item, LocalShellCallOut):
            fill(item, self._written())
        else:
            events = [
                ArgumentsDone(
                    item_id=item_id,
                    output_index=at,
                    name=item.name,
                    arguments=item.arguments,
                )
            ]
        if not isinstance(item, CustomToolCallOut):
            item.status = status
        return [*events, OutputItemDone(output_index=self._index, item=item)]

    def _written(self) -> str:
        arguments = "".join(self._arguments)
        self._arguments.clear()
        return arguments

    def _end(self, usage: CompletionUsage) -> list[Event]:
        details = INCOMPLETE.get(self._finish_reason)
        events = self._close("completed" if details is None else "incomplete")
        self.response.usage = ResponseUsage(
            input_tokens=usage.prompt_tokens,
            input_tokens_details=InputTokensDetails(
                usage.prompt_tokens_details.cached_tokens
            ),
            output_tokens=usage.completion_tokens,
            output_tokens_details=OutputTokensDetails(
                usage.completion_tokens_details.reasoning_tokens
            ),
            total_tokens=usage.total_tokens,
        )
        self.response.completed_at = int(time.time())
        if details is None:
            self.response.status = "completed"
            return [*events, ResponseCompleted(response=self.response)]
        self.response.status = "incomplete"
        self.response.incomplete_details = details
        return [*events, ResponseIncomplete(response=self.response)]


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
