"""A chat completion request: its fields, and what it asks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...claude_code.turns import ContentBlock
from ...errors import InvalidRequest
from ..answer_format import JSON_OBJECT, TEXT, AnswerFormat, json_schema
from ..attachments import Images, file_block
from ..calls import Call
from ..conversation import Message, Reading, checked_limit, read, text_blocks
from ..fields import MODEL, Fields, Refusal
from ..stop import check_lengths
from ..tools import FunctionDefinition, ToolChoice, ToolUse, tool_use
from .types import (
    AllowedToolsChoice,
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
    DeveloperMessage,
    FilePart,
    FunctionMessage,
    ImagePart,
    JSONObjectFormat,
    JSONSchemaFormat,
    NamedToolChoice,
    Part,
    RefusalPart,
    StreamOptions,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)

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
    check_stream_options(request.stream_options, request.stream)
    return request


def check_stream_options(options: StreamOptions | None, stream: bool | None) -> None:
    """Raise InvalidRequest for options of a stream without a stream."""
    if options is not None and not stream:
        raise InvalidRequest(
            "`stream_options`: There is no stream: leave it out, or set `stream`.",
            param="stream_options",
        )


def stop_sequences(stop: str | list[str] | None) -> list[str]:
    """`stop` as a list.

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


def read_request(request: ChatCompletionRequest) -> Reading:
    """What `request` asks.

    Raises
    ------
    InvalidRequest
        A message, a tool or the format cannot be used, or there is no question.
    """
    images = Images()
    messages = [
        _message(message, f"messages[{index}]", images)
        for index, message in enumerate(request.messages)
    ]
    return read(
        messages,
        model=request.model,
        effort=request.reasoning_effort,
        max_output_tokens=_limit(request),
        tools=_tools(request),
        answer=_answer_format(request),
        stop=stop_sequences(request.stop),
        images=images.remote,
    )


def _limit(request: ChatCompletionRequest) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        limit = checked_limit(getattr(request, name), name)
        if limit is not None:
            return limit
    return None


def _message(message: ChatMessage, path: str, images: Images) -> Message:
    if isinstance(message, FunctionMessage) or (
        isinstance(message, AssistantMessage) and message.function_call
    ):
        raise InvalidRequest(
            f"`{path}`: functions in their old form are not supported: use `tools`.",
            param=path,
        )
    content = list(_blocks(message, f"{path}.content", images))
    if isinstance(message, SystemMessage | DeveloperMessage):
        return Message("system", content, path)
    if isinstance(message, ToolMessage):
        return Message(
            "tool",
            content,
            f"{path}.tool_call_id",
            call_id=message.tool_call_id,
            failed=bool(message.is_error),
        )
    if isinstance(message, UserMessage):
        return Message("user", content, path)
    return Message("assistant", content, path, _calls(message, path), _calls_in(path))


def _calls_in(path: str) -> str:
    return f"{path}.tool_calls"


def _calls(message: AssistantMessage, path: str) -> list[Call]:
    return [
        Call(
            call.id,
            call.function.name,
            call.function.arguments,
            f"{_calls_in(path)}[{index}].function.arguments",
        )
        for index, call in enumerate(message.tool_calls or [])
    ]


def _kinds(message: ChatMessage) -> tuple[type[Part], ...]:
    # The CLI accepts text and images in results of tools, and files only of the user.
    if isinstance(message, UserMessage):
        return TextPart, ImagePart, FilePart
    return (TextPart, ImagePart) if isinstance(message, ToolMessage) else (TextPart,)


def _blocks(message: ChatMessage, path: str, images: Images) -> Iterator[ContentBlock]:
    content = None if isinstance(message, FunctionMessage) else message.content
    if isinstance(content, str):
        yield from text_blocks(content)
        return
    kinds = _kinds(message)
    for index, part in enumerate(content or []):
        yield from _part_blocks(part, f"{path}[{index}]", kinds, images)


def _part_blocks(
    part: Part, path: str, kinds: Sequence[type[Part]], images: Images
) -> list[ContentBlock]:
    if isinstance(part, TextPart):
        return text_blocks(part.text)
    if isinstance(part, RefusalPart):
        return text_blocks(part.refusal)
    if isinstance(part, ImagePart) and ImagePart in kinds:
        return [images.block(part.image_url.url, f"{path}.image_url.url")]
    if isinstance(part, FilePart) and FilePart in kinds:
        file = part.file
        data = None if file.file_id is not None else file.file_data
        return [file_block(data, file.filename, f"{path}.file.file_data")]
    names = {TextPart: "text", ImagePart: "images", FilePart: "files"}
    allowed = " and ".join(names[kind] for kind in kinds)
    raise InvalidRequest(f"`{path}`: only {allowed} can be sent here.", param=path)


def _tools(request: ChatCompletionRequest) -> ToolUse:
    functions = [
        FunctionDefinition(
            tool.function.name,
            tool.function.description,
            tool.function.parameters,
            tool.function.strict,
            f"tools[{index}].function",
            f"tools[{index}].function.parameters",
        )
        for index, tool in enumerate(request.tools or [])
    ]
    return tool_use(
        functions,
        _tool_choice(request),
        one_at_a_time=request.parallel_tool_calls is False,
        has_results=any(isinstance(m, ToolMessage) for m in request.messages),
    )


def _tool_choice(request: ChatCompletionRequest) -> ToolChoice:
    choice = request.tool_choice
    if isinstance(choice, NamedToolChoice):
        return ToolChoice("named", (choice.function.name,))
    if isinstance(choice, AllowedToolsChoice):
        allowed = choice.allowed_tools
        names = tuple(tool.function.name for tool in allowed.tools)
        return ToolChoice("allowed", names, required=allowed.mode == "required")
    return ToolChoice(choice or "auto")


def _answer_format(request: ChatCompletionRequest) -> AnswerFormat:
    wanted = request.response_format
    if isinstance(wanted, JSONObjectFormat):
        return JSON_OBJECT
    if not isinstance(wanted, JSONSchemaFormat):
        return TEXT
    return json_schema(
        wanted.json_schema.schema,
        "response_format.json_schema.schema",
        strict=wanted.json_schema.strict,
        name=wanted.json_schema.name,
        description=wanted.json_schema.description,
    )
