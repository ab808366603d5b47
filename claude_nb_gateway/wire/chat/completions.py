"""The older completions API: a prompt in, its continuation out. Pure.

Field by field as in https://platform.openai.com/docs/api-reference/completions. The
prompt is one message of the user's: Claude answers it, rather than writing on.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from ...errors import InvalidRequest
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
from .events import ChunkBuilder
from .types import (
    ChatCompletionChunk,
    ChatCompletionRequest,
    CompletionUsage,
    ErrorBody,
    ErrorResponse,
    StreamOptions,
    UserMessage,
)


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

#: What errors about the chat completion are about here.
NAMES = ((r"^messages(\[0\](\.content)?)?$", "prompt"),)


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


def chat_request(request: CompletionRequest) -> ChatCompletionRequest:
    """The same request for a chat completion.

    Raises
    ------
    InvalidRequest
        There is not one prompt, but none or several, or it is empty.
    """
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if len(prompts) != 1 or not prompts[0].strip():
        raise InvalidRequest(
            "`prompt` must be one text, and not empty.", param="prompt"
        )
    return ChatCompletionRequest(
        messages=[UserMessage(prompts[0])],
        model=request.model,
        stream=request.stream,
        stream_options=request.stream_options,
        max_tokens=request.max_tokens,
    )


class CompletionWire:
    """Follows the chunks of one answer, which `builder` makes."""

    names_events = False
    ends_with_done = True

    def __init__(self, builder: ChunkBuilder) -> None:
        self._builder = builder
        self._text: list[str] = []
        self._last = CompletionChoice(text="")

    def feed(self, chunk: ChatCompletionChunk) -> list[Completion]:
        """The piece that `chunk` becomes, if there is text in it or it is the last."""
        choices = []
        for choice in chunk.choices:
            text, reason = choice.delta.content or "", choice.finish_reason
            if not text and reason is None:
                continue
            assert reason != "tool_calls", "there are no tools"
            self._text.append(text)
            self._last = CompletionChoice(text=text, finish_reason=reason)
            choices.append(self._last)
        if not choices and not chunk.usage:
            return []
        return [self._piece(choices, chunk.usage)]

    def fail(self, error: ErrorBody) -> list[ErrorResponse]:
        """The error in the place of a piece."""
        return [ErrorResponse(error)]

    def whole(self) -> Completion:
        """The whole answer."""
        text, reason = "".join(self._text), self._last.finish_reason
        choice = CompletionChoice(text=text, finish_reason=reason)
        return self._piece([choice], self._builder.usage)

    def _piece(
        self,
        choices: list[CompletionChoice],
        usage: CompletionUsage | UnsetType | None,
    ) -> Completion:
        return Completion(
            id=self._builder.id.replace("chatcmpl-", "cmpl-"),
            created=self._builder.created,
            model=self._builder.model,
            choices=choices,
            usage=usage,
        )
