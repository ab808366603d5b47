"""From the events of a turn to chat completion chunks, and to a whole one. Pure.

One writer makes every chunk. An answer that is not streamed is those chunks, joined.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable

from msgspec import UNSET

from ...claude_code.protocol import Usage
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
from ..errors import ErrorBody, ErrorResponse
from .types import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    Choice,
    ChoiceDelta,
    ChunkChoice,
    CompletionTokensDetails,
    CompletionUsage,
    FinishReason,
    FunctionCall,
    FunctionCallDelta,
    PromptTokensDetails,
    SessionInfo,
    StreamOptions,
    ToolCall,
    ToolCallDelta,
)

FINISH_REASONS: dict[StopReason, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class ChatWriter:
    """Writes one answer, as chunks or whole.

    Parameters
    ----------
    model:
        The model that the client named, until the one that answers is known.
    options:
        What the stream has beside the answer.
    streamed:
        Whether the client gets the chunks; otherwise they are kept for `whole`.
    """

    names_events = False
    ends_with_done = True

    def __init__(
        self, model: str, options: StreamOptions | None = None, *, streamed: bool
    ) -> None:
        options = options or StreamOptions()
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model
        self._include_usage = bool(options.include_usage)
        self._include_session = bool(options.include_session)
        self._calls = 0
        self._chunks: list[ChatCompletionChunk] | None = None if streamed else []
        self._usage = completion_usage(Usage())

    def write(self, event: TurnEvent) -> list[ChatCompletionChunk]:
        """The chunks for `event`, usually one."""
        chunks = self._chunks_of(event)
        if self._chunks is not None:
            self._chunks += chunks
        return chunks

    def fail(self, error: ErrorBody) -> list[ErrorResponse]:
        """The error, in place of a chunk."""
        return [ErrorResponse(error)]

    def whole(self) -> ChatCompletion:
        """The whole answer."""
        return fold(self._chunks or [], self._usage)

    def _chunks_of(self, event: TurnEvent) -> list[ChatCompletionChunk]:
        if isinstance(event, Text):
            return [self._chunk(ChoiceDelta(content=event.text))]
        if isinstance(event, Thinking):
            return [self._chunk(ChoiceDelta(reasoning_content=event.text))]
        if isinstance(event, Started):
            self._model = event.model or self._model
            return [self._chunk(ChoiceDelta(role="assistant", content=""))]
        if isinstance(event, CallStarted):
            self._calls += 1
            function = FunctionCallDelta(name=event.name, arguments="")
            return [self._call(function, event.id)]
        if isinstance(event, CallArguments):
            return [self._call(FunctionCallDelta(arguments=event.fragment))]
        if isinstance(event, Ended):
            return self._end(event)
        return []

    def _call(
        self, function: FunctionCallDelta, call_id: str = ""
    ) -> ChatCompletionChunk:
        index = self._calls - 1
        call = ToolCallDelta(index=index, function=function)
        if call_id:
            call.id, call.type = call_id, "function"
        return self._chunk(ChoiceDelta(tool_calls=[call]))

    def _end(self, ended: Ended) -> list[ChatCompletionChunk]:
        self._usage = completion_usage(ended.usage)
        chunks = [self._chunk(ChoiceDelta(), FINISH_REASONS[ended.reason])]
        if self._include_usage or self._include_session:
            last = self._chunk(None)
            last.usage = self._usage if self._include_usage else UNSET
            if self._include_session:
                last.session = SessionInfo(ended.session_id, ended.cost_usd)
            chunks.append(last)
        return chunks

    def _chunk(
        self, delta: ChoiceDelta | None, finish_reason: FinishReason | None = None
    ) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=[]
            if delta is None
            else [ChunkChoice(delta=delta, finish_reason=finish_reason)],
            usage=None if self._include_usage else UNSET,
        )


def completion_usage(usage: Usage) -> CompletionUsage:
    """The token counts of a turn in the fields of a chat completion."""
    prompt, completion = usage.all_input_tokens, usage.output_tokens or 0
    return CompletionUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=usage.thinking_tokens
        ),
    )


def fold(
    chunks: Iterable[ChatCompletionChunk], usage: CompletionUsage
) -> ChatCompletion:
    """The whole answer, joined from `chunks`."""
    content: list[str] = []
    calls: list[ToolCall] = []
    reasoning: list[str] = []
    finish_reason: FinishReason = "stop"
    last: ChatCompletionChunk | None = None
    for last in chunks:
        for choice in last.choices:
            content.append(choice.delta.content or "")
            reasoning.append(choice.delta.reasoning_content or "")
            for call in choice.delta.tool_calls or []:
                _fold_call(calls, call)
            finish_reason = choice.finish_reason or finish_reason
    assert last is not None, "a turn that has ended has at least its last chunk"
    text = "".join(content)
    message = ChatCompletionMessage(
        content=text if text or not calls else None,
        reasoning_content="".join(reasoning) or UNSET,
        tool_calls=calls or UNSET,
    )
    return ChatCompletion(
        id=last.id,
        created=last.created,
        model=last.model,
        choices=[Choice(message=message, finish_reason=finish_reason)],
        usage=usage,
    )


def _fold_call(calls: list[ToolCall], delta: ToolCallDelta) -> None:
    if delta.id:
        function = FunctionCall(delta.function.name or "", "")
        calls.append(ToolCall(id=delta.id, function=function))
    calls[delta.index].function.arguments += delta.function.arguments or ""
