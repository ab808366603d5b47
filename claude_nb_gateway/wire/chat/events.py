"""From the messages of a turn to chat completion chunks, and to a whole one. Pure.

One builder makes every chunk; the answer that is not streamed is those chunks,
folded.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import UNSET

from ...claude_code.protocol import (
    ApiEvent,
    ApiMessage,
    Assistant,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Message,
    MessageDelta,
    MessageStart,
    Result,
    StreamEvent,
    System,
    Usage,
)
from ...claude_code.surrogates import without_halves
from ...claude_code.turns import BETWEEN_MESSAGES
from ...errors import UpstreamError
from ...turn.stop import StopSequences
from .structured import StructuredAnswer
from .types import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    Choice,
    ChoiceDelta,
    ChunkChoice,
    CompletionTokensDetails,
    CompletionUsage,
    ErrorBody,
    ErrorResponse,
    FinishReason,
    FunctionCall,
    FunctionCallDelta,
    PromptTokensDetails,
    SessionInfo,
    StreamOptions,
    ToolCall,
    ToolCallDelta,
)

FINISH_REASONS: dict[str | None, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "tool_use": "tool_calls",
}


CUT_SHORT = ("length", "content_filter")


class ChunkBuilder:
    """Follows one turn and says what each of its messages adds to the answer.

    With `paragraphs` the texts of several messages of the model are kept apart: it uses
    tools of its own between them. After `finished` is set the rest of the turn is of no
    interest. `begun` are the
    tokens of the model's message as it began, `used` those of the whole answer.
    """

    def __init__(
        self,
        model: str,
        options: StreamOptions | None = None,
        stop: Sequence[str] = (),
        tools: Mapping[str, str] = MappingProxyType({}),
        structured: StructuredAnswer | None = None,
        *,
        paragraphs: bool = False,
    ) -> None:
        options = options or StreamOptions()
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.model = model
        self.used = Usage()
        self.finished = False
        self.session = SessionInfo("")
        self._include_usage = bool(options.include_usage)
        self._include_session = bool(options.include_session)
        self._started = False
        self._streaming = False
        self._paragraphs = paragraphs
        self._between = False
        self._message_id = ""
        self._stop = StopSequences(stop)
        self.begun = Usage()
        self._summed = Usage()
        self._deltas = 0
        self._text = _Transcript()
        self._thinking = _Transcript()
        self._calls = _Calls(tools)
        self._fragments = _Characters()
        self._structured = structured

    @property
    def usage(self) -> CompletionUsage:
        """The tokens of the whole answer, as OpenAI counts them."""
        return completion_usage(self.used)

    @property
    def stopped_at(self) -> str | None:
        """The stop sequence that ended the answer, if one did."""
        return self._stop.reached

    def feed(self, message: Message) -> list[ChatCompletionChunk]:
        """The chunks that `message` gives rise to, often none.

        Raises
        ------
        UpstreamError
            The model began its answer anew, and differently.
        """
        if self.finished:
            return []
        if isinstance(message, StreamEvent):
            if message.parent_tool_use_id is None:
                return self._event(message.event)
        elif isinstance(message, Assistant):
            if message.parent_tool_use_id is None and message.error is None:
                return self._whole(message.message)
        elif isinstance(message, System):
            self.session.id = message.session_id or self.session.id
        elif isinstance(message, Result):
            self.used = message.usage or self._summed
            self.session.cost_usd = message.total_cost_usd
            return self._result(message)
        return []

    def _result(self, result: Result) -> list[ChatCompletionChunk]:
        cut_short = FINISH_REASONS.get(result.stop_reason) in CUT_SHORT
        if self._structured is None or cut_short:
            return self._finish(result.stop_reason)
        return self._words(self._structured.finish(result)) + self._finish("end_turn")

    def _event(self, event: ApiEvent) -> list[ChatCompletionChunk]:
        if isinstance(event, ContentBlockDelta):
            self._deltas += 1
            if event.delta.partial_json:
                fragment = self._fragments.add(event.delta.partial_json)
                return self._arguments(fragment) if fragment else []
            return self._content(event.delta.text, event.delta.thinking)
        if isinstance(event, MessageStart):
            self._streaming = True
            return self._start(event.message)
        if isinstance(event, MessageDelta) and event.delta.stop_reason:
            self._summed = self._summed.plus(self.begun.then(event.usage))
            reason = FINISH_REASONS.get(event.delta.stop_reason)
            calls = reason == "tool_calls" and self._calls.begun
            if reason == "length" or calls:
                # The CLI would go on by itself, as if it had not been cut; after
                # calls it waits for their results.
                self.used = self._summed
                return self._finish(event.delta.stop_reason)
            self._settle()
        elif isinstance(event, ContentBlockStart):
            if self._structured is not None:
                self._structured.start(event.content_block)
            return self._call(self._calls.start(event.content_block))
        elif isinstance(event, ContentBlockStop):
            return self._call(self._calls.stop())
        return []

    def _arguments(self, fragment: str) -> list[ChatCompletionChunk]:
        chunks = self._call(self._calls.add(fragment))
        if self._structured is not None:
            chunks += self._words(self._structured.add(fragment))
        return chunks

    def _call(self, delta: ToolCallDelta | None) -> list[ChatCompletionChunk]:
        return [] if delta is None else [self._chunk(ChoiceDelta(tool_calls=[delta]))]

    def _start(self, message: ApiMessage) -> list[ChatCompletionChunk]:
        self._message_id = message.id
        self.begun = message.usage or Usage()
        if self._calls.begun:
            raise _not_taken_up()
        another = self._text.restart()
        self._between = another and self._paragraphs
        self._thinking.restart()
        if self._started:
            return []
        self._started = True
        self.model = message.model or self.model
        return [self._chunk(ChoiceDelta(role="assistant", content=""))]

    def _settle(self) -> None:
        self._text.settle()
        self._thinking.settle()

    def _whole(self, message: ApiMessage) -> list[ChatCompletionChunk]:
        chunks = []
        if message.id != self._message_id:
            self._streaming = False
            chunks = self._start(message)
        if not self._streaming:
            for block in message.content:
                chunks += self._content(
                    block.get("text", ""), block.get("thinking", "")
                )
        return chunks

    def _content(self, text: str, thinking: str) -> list[ChatCompletionChunk]:
        chunks = []
        if thinking and (new := self._thinking.add(thinking)):
            chunks.append(self._chunk(ChoiceDelta(reasoning_content=new)))
        # Beside an answer with a schema, other words have no place.
        if text and self._structured is None and (new := self._text.add(text)):
            between = BETWEEN_MESSAGES if self._between else ""
            self._between = False
            chunks += self._words(between + new)
        return chunks

    def _words(self, text: str) -> list[ChatCompletionChunk]:
        chunks = []
        if new := self._stop.add(text):
            chunks.append(self._chunk(ChoiceDelta(content=new)))
        if self._stop.reached is not None:
            # The turn is left here, so nobody says what it took: a delta is one
            # token or a little more.
            self.begun.output_tokens = self._deltas
            self.used = self.begun
            chunks += self._end("stop")
        return chunks

    def _finish(self, stop_reason: str | None) -> list[ChatCompletionChunk]:
        reason = FINISH_REASONS.get(stop_reason, "stop")
        if reason == "stop":
            self._settle()
        chunks = [] if self._started else self._start(ApiMessage())
        if held := self._stop.rest():
            chunks.append(self._chunk(ChoiceDelta(content=held)))
        return chunks + self._end(reason)

    def _end(self, reason: FinishReason) -> list[ChatCompletionChunk]:
        self.finished = True
        chunks = [self._chunk(ChoiceDelta(), reason)]
        if self._include_usage or self._include_session:
            last = self._chunk(None)
            last.usage = self.usage if self._include_usage else UNSET
            last.session = self.session if self._include_session else UNSET
            chunks.append(last)
        return chunks

    def _chunk(
        self, delta: ChoiceDelta | None, finish_reason: FinishReason | None = None
    ) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[]
            if delta is None
            else [ChunkChoice(delta=delta, finish_reason=finish_reason)],
            usage=None if self._include_usage else UNSET,
        )


class _Calls:
    """The calls of one answer: those of `tools`, whose names the client gave.

    Others are the CLI's own affair.
    """

    def __init__(self, tools: Mapping[str, str]) -> None:
        self.begun = 0
        self._tools = tools
        self._open = False
        self._empty = True

    def start(self, block: Mapping[str, Any]) -> ToolCallDelta | None:
        """A content block begins."""
        name = self._tools.get(block.get("name", ""))
        if name is None:
            return None
        self._open = self._empty = True
        self.begun += 1
        return ToolCallDelta(
            index=self.begun - 1,
            id=block["id"],
            type="function",
            function=FunctionCallDelta(name=name, arguments=""),
        )

    def add(self, fragment: str) -> ToolCallDelta | None:
        """A content block grows."""
        if not self._open:
            return None
        self._empty = False
        return self._arguments(fragment)

    def stop(self) -> ToolCallDelta | None:
        """A content block ends."""
        if not self._open:
            return None
        self._open = False
        # A call without arguments has none at all in the stream.
        return self._arguments("{}") if self._empty else None

    def _arguments(self, fragment: str) -> ToolCallDelta:
        delta = FunctionCallDelta(arguments=fragment)
        return ToolCallDelta(index=self.begun - 1, function=delta)


class _Characters:
    """Joins the halves of a character that two deltas share."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, text: str) -> str:
        """The whole characters that there are with `text`."""
        if self._half:
            text, self._half = self._half + text, ""
        if text.isascii():
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return without_halves(text)


class _Transcript:
    """What the client was told of a model message, against text that comes again.

    A stream that broke off is asked for anew by the CLI and then comes from its
    start, or whole.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._settled = False
        self._again = ""  # was told already, and must come once more
        self._characters = _Characters()

    def restart(self) -> bool:
        """A model message begins; unless the last was settled, it is that one.

        Returns whether it is another, after words of an earlier one.
        """
        self._again = "".join(self._told)
        self._characters = _Characters()
        return self._settled and not self._again

    def settle(self) -> None:
        """The model message ended in good order."""
        if self._again:
            raise _not_taken_up()
        self._settled = self._settled or bool(self._told)
        self._told.clear()

    def add(self, text: str) -> str:
        """The part of `text` that is new to the client."""
        text = self._characters.add(text)
        if self._again:
            overlap = min(len(text), len(self._again))
            if text[:overlap] != self._again[:overlap]:
                raise _not_taken_up()
            self._again = self._again[overlap:]
            text = text[overlap:]
        self._told.append(text)
        return text


def _not_taken_up() -> UpstreamError:
    return UpstreamError(
        "The connection to the model's API broke off, and the answer could not be "
        "taken up where it ended.",
        status=None,
    )


def completion_usage(usage: Usage | None) -> CompletionUsage:
    """OpenAI's token counts for those of the Messages API.

    Anthropic counts what is read from the cache or written to it beside
    `input_tokens`, OpenAI within `prompt_tokens`.
    """
    usage = usage or Usage()
    cached = usage.cache_read_input_tokens or 0
    prompt = (usage.input_tokens or 0) + cached
    prompt += usage.cache_creation_input_tokens or 0
    completion = usage.output_tokens or 0
    details = usage.output_tokens_details or {}
    return CompletionUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=details.get("thinking_tokens", 0)
        ),
    )


def has_words(chunk: ChatCompletionChunk) -> bool:
    """Whether there is any text or thought in `chunk`."""
    return any(
        choice.delta.content
        or choice.delta.reasoning_content
        or choice.delta.tool_calls
        for choice in chunk.choices
    )


def merge(chunks: Iterable[ChatCompletionChunk]) -> list[ChatCompletionChunk]:
    """The same answer in fewer chunks: neighbouring deltas of one kind joined."""
    merged: list[ChatCompletionChunk] = []
    for chunk in chunks:
        if not (merged and _joined_to(merged[-1], chunk)):
            merged.append(chunk)
    return merged


def _joined_to(last: ChatCompletionChunk, chunk: ChatCompletionChunk) -> bool:
    if not (last.choices and chunk.choices) or chunk.choices[0].finish_reason:
        return False
    old, new = last.choices[0].delta, chunk.choices[0].delta
    for field in ("content", "reasoning_content"):
        before, after = getattr(old, field), getattr(new, field)
        if before and after:
            setattr(old, field, before + after)
            return True
    if old.tool_calls and new.tool_calls:
        return _call_goes_on(old.tool_calls[-1], new.tool_calls)
    return False


def _call_goes_on(last: ToolCallDelta, more: list[ToolCallDelta]) -> bool:
    goes_on = [call for call in more if call.index == last.index and not call.id]
    if len(goes_on) != len(more):
        return False
    fragments = [call.function.arguments or "" for call in more]
    last.function.arguments = "".join([last.function.arguments or "", *fragments])
    return True


class ChatWire:
    """Chat completions as they are: chunks, or those of an answer in one."""

    names_events = False
    ends_with_done = True

    def __init__(self, builder: ChunkBuilder, *, streamed: bool) -> None:
        self._builder = builder
        self._streamed = streamed
        self._chunks: list[ChatCompletionChunk] = []

    def feed(self, chunk: ChatCompletionChunk) -> list[ChatCompletionChunk]:
        """The chunk itself."""
        if not self._streamed:
            self._chunks.append(chunk)
        return [chunk]

    def fail(self, error: ErrorBody) -> list[ErrorResponse]:
        """The error in the place of a chunk."""
        return [ErrorResponse(error)]

    def whole(self) -> ChatCompletion:
        """The whole answer."""
        return fold(self._chunks, self._builder.usage)


def fold(
    chunks: Iterable[ChatCompletionChunk], usage: CompletionUsage
) -> ChatCompletion:
    """The whole answer that `chunks` make up."""
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
    assert last is not None, "a finished turn has at least its last chunk"
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
