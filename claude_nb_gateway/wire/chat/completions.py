"""The older completions API: a prompt in, its continuation out. Pure.

Field by field as in https://platform.openai.com/docs/api-reference/completions. The
prompt is a message of the user: Claude answers it, and does not continue it.
"""

from __future__ import annotations

import time
import uuid
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from ...claude_code.protocol import Usage
from ...claude_code.turns import FieldNames
from ...errors import InvalidRequest
from ...turn.events import Ended, Started, StopReason, Text, TurnEvent
from ..conversation import Message, Reading, checked_limit, read, text_block
from ..errors import ErrorBody, ErrorResponse
from ..fields import (
    MODEL,
    AtLeastOne,
    Bias,
    Fields,
    Penalty,
    Refusal,
    Share,
    Temperature,
)
from .events import completion_usage
from .request import check_stream_options, stop_sequences
from .types import CompletionUsage, StreamOptions


class CompletionRequest(Struct):
    """The body of `POST /v1/completions`."""

    prompt: str | list[str]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    n: AtLeastOne | None = None
    best_of: AtLeastOne | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: int | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    seed: int | None = None
    user: str | None = None


COMPLETION: Fields[CompletionRequest] = Fields(
    CompletionRequest,
    honoured={
        "prompt": "one text: a message of the user's, which Claude answers",
        "model": MODEL,
        "stream": "pieces as the model writes them",
        "stream_options": "`include_usage`",
        "max_tokens": "the answer is cut there; no limit if left out",
        "stop": "the answer ends before the first of up to four",
    },
    without_effect=(
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "seed",
        "user",
    ),
    refused={
        "n": Refusal(lambda n: n != 1, "Only one choice can be made: send 1."),
        "best_of": Refusal(lambda n: n != 1, "Only one choice can be made: send 1."),
        "echo": Refusal(bool, "The prompt is not given back: leave it out."),
        "suffix": Refusal(bool, "Claude cannot insert text: leave it out."),
        "logprobs": Refusal(bool, "Claude gives no log probabilities: leave it out."),
    },
)


class CompletionChoice(Struct, kw_only=True):
    """The one choice."""

    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None = None


class Completion(Struct, kw_only=True):
    """The answer, or a piece of it."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | UnsetType | None = UNSET


_FINISH_REASONS: dict[StopReason, Literal["stop", "length", "content_filter"]] = {
    "max_tokens": "length",
    "refusal": "content_filter",
}


def decode_completion_request(body: bytes) -> CompletionRequest:
    """Read and check a request.

    Raises
    ------
    InvalidRequest
        See `Fields.decode`.
    """
    request = COMPLETION.decode(body)
    check_stream_options(request.stream_options, request.stream)
    return request


def read_completion_request(request: CompletionRequest) -> Reading:
    """What `request` asks: its prompt is a message of the user.

    Raises
    ------
    InvalidRequest
        There is no prompt, or more than one, or it is empty.
    """
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if len(prompts) != 1 or not prompts[0].strip():
        raise InvalidRequest(
            "`prompt` must be one text, and not empty.", param="prompt"
        )
    return read(
        [Message("user", [text_block(prompts[0])], "prompt")],
        model=request.model,
        max_output_tokens=checked_limit(request.max_tokens, "max_tokens"),
        stop=stop_sequences(request.stop),
        names=FieldNames(messages="prompt"),
    )


class CompletionWriter:
    """Writes one answer, in pieces or whole.

    Parameters
    ----------
    model:
        The model that the client named, until the one that answers is known.
    options:
        What the stream has beside the answer.
    """

    names_events = False
    ends_with_done = True

    def __init__(self, model: str, options: StreamOptions | None = None) -> None:
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model
        self._include_usage = bool(options and options.include_usage)
        self._text: list[str] = []
        self._last = CompletionChoice(text="")
        self._usage = completion_usage(Usage())

    def write(self, event: TurnEvent) -> list[Completion]:
        """The pieces for `event`."""
        if isinstance(event, Started):
            self._model = event.model or self._model
        elif isinstance(event, Text):
            self._text.append(event.text)
            return [self._streamed(CompletionChoice(text=event.text))]
        elif isinstance(event, Ended):
            return self._end(event)
        return []

    def fail(self, error: ErrorBody) -> list[ErrorResponse]:
        """The error, in place of a piece."""
        return [ErrorResponse(error)]

    def whole(self) -> Completion:
        """The whole answer."""
        text, reason = "".join(self._text), self._last.finish_reason
        choice = CompletionChoice(text=text, finish_reason=reason)
        return self._piece([choice], self._usage)

    def _end(self, ended: Ended) -> list[Completion]:
        reason = _FINISH_REASONS.get(ended.reason, "stop")
        self._usage = completion_usage(ended.usage)
        self._last = CompletionChoice(text="", finish_reason=reason)
        pieces = [self._streamed(self._last)]
        if self._include_usage:
            pieces.append(self._piece([], self._usage))
        return pieces

    def _streamed(self, choice: CompletionChoice) -> Completion:
        return self._piece([choice], None if self._include_usage else UNSET)

    def _piece(
        self,
        choices: list[CompletionChoice],
        usage: CompletionUsage | UnsetType | None,
    ) -> Completion:
        return Completion(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=choices,
            usage=usage,
        )
