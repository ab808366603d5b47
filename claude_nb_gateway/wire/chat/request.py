"""What becomes of each field of a chat completion request."""

from __future__ import annotations

from ...errors import InvalidRequest
from ...turn.stop import check_lengths
from ..fields import MODEL, Fields, Refusal
from .completions import CompletionRequest
from .types import ChatCompletionRequest

MOST_STOP_SEQUENCES = 4

_NOT_TEXT = "Only answers in plain text are supported: leave it out."
_USE_TOOLS = "The old form of function calling is not supported: use `tools`."
_NO_LOGPROBS = "Claude gives no log probabilities: leave it out."

CHAT_COMPLETION: Fields[ChatCompletionRequest] = Fields(
    ChatCompletionRequest,
    honoured={
        "messages": "real turns, in order and verbatim; the system messages at the "
        "start are the system prompt; text, images, PDF and text files; `name` has no "
        "effect",
        "model": MODEL,
        "stream": "chunks as the model writes them",
        "stream_options": "`include_usage`; `include_session` is the gateway's own",
        "max_tokens": "the answer is cut there, `finish_reason` is `length`",
        "max_completion_tokens": "the same, and goes before `max_tokens`",
        "reasoning_effort": "Claude's effort; `none` and `minimal` are `low`",
        "stop": "the answer ends before the first of up to four",
        "tools": "functions; `strict` arguments are checked against their schema "
        "before they are passed on",
        "tool_choice": "asked for in words, checked, corrected once, else an error",
        "parallel_tool_calls": "false: asked for and checked in the same way",
        "project_id": "the gateway's own: the id or path of the project to work in; "
        "base URL or header `X-Claude-Project` do the same",
        "session_id": "the gateway's own: the session to go on with, which knows what "
        "was said: of `messages` only what follows the last of the assistant is new; "
        "header `X-Claude-Session` does the same",
        "response_format": "`json_schema`: held to by the CLI, and checked for what it "
        "cannot be asked for unless `strict` is false; `json_object`, and one of no "
        "object: asked for in words, checked, corrected once, else an error",
    },
    without_effect=(
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
        "prompt_cache_options",
        "prompt_cache_retention",
    ),
    refused={
        "n": Refusal(
            lambda n: n != 1,
            "Only one choice can be made: send 1, or several requests.",
        ),
        "modalities": Refusal(lambda kinds: kinds != ["text"], _NOT_TEXT),
        "audio": Refusal(lambda audio: True, _NOT_TEXT),
        "logprobs": Refusal(bool, _NO_LOGPROBS),
        "top_logprobs": Refusal(bool, _NO_LOGPROBS),
        "functions": Refusal(bool, _USE_TOOLS),
        "function_call": Refusal(
            lambda choice: choice not in ("none", "auto"), _USE_TOOLS
        ),
        "web_search_options": Refusal(
            lambda options: True, "Web search is not supported: leave it out."
        ),
        "moderation": Refusal(
            lambda wish: True, "There is no moderation here: leave it out."
        ),
    },
)


def decode_request(body: bytes) -> ChatCompletionRequest:
    """Read and check a request.

    Raises
    ------
    InvalidRequest
        See `Fields.decode`.
    """
    request = CHAT_COMPLETION.decode(body)
    check_stream_options(request)
    return request


def check_stream_options(request: ChatCompletionRequest | CompletionRequest) -> None:
    """Raise InvalidRequest for options of a stream that there is not."""
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "`stream_options`: There is no stream: leave it out, or set `stream`.",
            param="stream_options",
        )


def stop_sequences(stop: str | list[str] | None) -> list[str]:
    """The sequences that `stop` stands for, as a list.

    Raises
    ------
    InvalidRequest
        More than OpenAI allows, an empty one, or a very long one.
    """
    sequences = [stop] if isinstance(stop, str) else (stop or [])
    if len(sequences) > MOST_STOP_SEQUENCES or not all(sequences):
        raise InvalidRequest(
            f"`stop` takes up to {MOST_STOP_SEQUENCES} texts, none of them empty.",
            param="stop",
        )
    check_lengths(sequences, "stop")
    return sequences


def fields_without_effect(request: ChatCompletionRequest) -> list[str]:
    """The names of the fields that were sent and change nothing."""
    names = CHAT_COMPLETION.sent_without_effect(request)
    if any(getattr(message, "name", None) for message in request.messages):
        names.append("messages[].name")
    return names
