"""What becomes of each field of a request: honoured, without effect, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import InvalidRequest
from .types import ChatCompletionRequest

MOST_STOP_SEQUENCES = 4

#: What the answer follows.
HONOURED = (
    "messages",
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
)

#: Accepted and without effect on the answer: the CLI cannot be told of them.
WITHOUT_EFFECT = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "prediction",
    "verbosity",
    "service_tier",
    "store",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
)

_NOT_TEXT = "Only answers in plain text are supported: leave it out."
_USE_TOOLS = "The old form of function calling is not supported: use `tools`."


#: Refused, with the test for a value that matters and what to do instead.
REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n": (
        lambda n: n != 1,
        "Only one choice can be made: send 1, or several requests.",
    ),
    "modalities": (lambda kinds: kinds != ["text"], _NOT_TEXT),
    "audio": (bool, _NOT_TEXT),
    "logprobs": (bool, "Claude gives no log probabilities: leave it out."),
    "top_logprobs": (bool, "Claude gives no log probabilities: leave it out."),
    "functions": (bool, _USE_TOOLS),
    "function_call": (lambda choice: choice not in ("none", "auto"), _USE_TOOLS),
    "web_search_options": (
        lambda options: options is not None,
        "Web search is not supported: leave it out.",
    ),
}

_decoder = msgspec.json.Decoder(ChatCompletionRequest)


def decode_request(body: bytes) -> ChatCompletionRequest:
    """Read and check a request.

    Raises
    ------
    InvalidRequest
        Not JSON, a field of the wrong type, or one that cannot be honoured;
        `param` is the path of the field.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".") or _missing_field(text)
        where = f"`{field}`: " if field else ""
        raise InvalidRequest(f"{where}{text}.", param=field or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"The body is not valid JSON: {error}.", code="invalid_json"
        ) from None
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "`stream_options`: There is no stream: leave it out, or set `stream`.",
            param="stream_options",
        )
    for name, (refused, remedy) in REFUSED.items():
        value = getattr(request, name)
        if value is not None and refused(value):
            raise InvalidRequest(
                f"`{name}`: {remedy}", param=name, code="unsupported_parameter"
            )
    return request


def stop_sequences(request: ChatCompletionRequest) -> list[str]:
    """The stop sequences of `request`, as a list.

    Raises
    ------
    InvalidRequest
        More than OpenAI allows, or an empty one.
    """
    stop = request.stop
    sequences = [stop] if isinstance(stop, str) else (stop or [])
    if len(sequences) > MOST_STOP_SEQUENCES or not all(sequences):
        raise InvalidRequest(
            f"`stop` takes up to {MOST_STOP_SEQUENCES} texts, none of them empty.",
            param="stop",
        )
    return sequences


def _missing_field(text: str) -> str:
    # "Object missing required field `messages`" at the top level has no path.
    return text.split("`")[1] if "missing required field" in text else ""


def fields_without_effect(request: ChatCompletionRequest) -> list[str]:
    """The names of the fields that were sent and change nothing."""
    names = [name for name in WITHOUT_EFFECT if getattr(request, name) is not None]
    if any(tool.function.strict for tool in request.tools or []):
        names.append("tools.function.strict")
    return names
