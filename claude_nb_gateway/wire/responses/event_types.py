"""The events of a streamed response in OpenAI's Responses API.

Field by field as in https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .types import OutputItem, OutputText, Response, SummaryText


class Event(Struct, kw_only=True):
    """Base of the events of a stream."""

    sequence_number: int = 0


class ResponseCreated(Event, tag="response.created"):
    """The response has an id."""

    response: Response


class ResponseInProgress(Event, tag="response.in_progress"):
    """The model has begun."""

    response: Response


class ResponseCompleted(Event, tag="response.completed"):
    """The end of an answer."""

    response: Response


class ResponseIncomplete(Event, tag="response.incomplete"):
    """The end of an answer that was cut short."""

    response: Response


class ResponseFailed(Event, tag="response.failed"):
    """The end of a stream that broke off."""

    response: Response


class OutputItemAdded(Event, tag="response.output_item.added"):
    """An item begins."""

    output_index: int
    item: OutputItem


class OutputItemDone(Event, tag="response.output_item.done"):
    """An item is whole."""

    output_index: int
    item: OutputItem


class ContentPartAdded(Event, tag="response.content_part.added"):
    """A part of a message begins."""

    item_id: str
    output_index: int
    content_index: int
    part: OutputText


class ContentPartDone(Event, tag="response.content_part.done"):
    """A part of a message is whole."""

    item_id: str
    output_index: int
    content_index: int
    part: OutputText


class OutputTextDelta(Event, tag="response.output_text.delta"):
    """A text grows."""

    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[Any] = []


class OutputTextDone(Event, tag="response.output_text.done"):
    """A text is whole."""

    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[Any] = []


class SummaryPartAdded(Event, tag="response.reasoning_summary_part.added"):
    """A piece of thought begins."""

    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText


class SummaryPartDone(Event, tag="response.reasoning_summary_part.done"):
    """A piece of thought is whole."""

    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText


class SummaryTextDelta(Event, tag="response.reasoning_summary_text.delta"):
    """A thought grows."""

    item_id: str
    output_index: int
    summary_index: int
    delta: str


class SummaryTextDone(Event, tag="response.reasoning_summary_text.done"):
    """A thought is whole."""

    item_id: str
    output_index: int
    summary_index: int
    text: str


class ArgumentsDelta(Event, tag="response.function_call_arguments.delta"):
    """The arguments of a call grow."""

    item_id: str
    output_index: int
    delta: str


class ArgumentsDone(Event, tag="response.function_call_arguments.done"):
    """The arguments of a call are whole."""

    item_id: str
    output_index: int
    name: str
    arguments: str


class CustomInputDelta(Event, tag="response.custom_tool_call_input.delta"):
    """The input of a custom tool grows."""

    item_id: str
    output_index: int
    delta: str


class CustomInputDone(Event, tag="response.custom_tool_call_input.done"):
    """The input of a custom tool is whole."""

    item_id: str
    output_index: int
    input: str


AnyEvent = (
    ResponseCreated
    | ResponseInProgress
    | OutputItemAdded
    | ContentPartAdded
    | OutputTextDelta
    | OutputTextDone
    | ContentPartDone
    | SummaryPartAdded
    | SummaryTextDelta
    | SummaryTextDone
    | SummaryPartDone
    | ArgumentsDelta
    | ArgumentsDone
    | CustomInputDelta
    | CustomInputDone
    | OutputItemDone
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
)
