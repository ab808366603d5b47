"""From a request of the Responses API to one for a chat completion. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from ...errors import InvalidRequest, quoted
from ..chat.types import (
    AllowedTools,
    AllowedToolsChoice,
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
    DeveloperMessage,
    FileData,
    FilePart,
    FunctionName,
    ImagePart,
    ImageURL,
    JSONObjectFormat,
    JSONSchema,
    JSONSchemaFormat,
    NamedToolChoice,
    Part,
    RefusalPart,
    ResponseFormat,
    StreamOptions,
    SystemMessage,
    TextPart,
    ToolChoice,
    ToolMessage,
    UserMessage,
)
from ..fields import MODEL, Fields, Refusal, text_and_path
from .socket_types import ResponseCreate
from .tool_types import (
    AllowedChoice,
    CustomToolCallItem,
    HostedCallItem,
    LocalShellCallItem,
)
from .tools import HOSTED, ClientTools, flat_name, tool_call
from .types import (
    CustomToolCallOutput,
    FunctionCallItem,
    FunctionCallOutput,
    InputContent,
    InputFile,
    InputImage,
    InputItem,
    InputReasoning,
    InputText,
    ItemReference,
    JSONObject,
    JSONSchemaText,
    LocalShellCallOutput,
    OutputText,
    ResponseRequest,
    ResponseToolChoice,
    TextConfig,
)

#: What can be asked for in `include` and is there anyway, or changes nothing.
HARMLESS_INCLUDES = ("reasoning.encrypted_content", "message.input_image.image_url")

RESPONSE: Fields[ResponseRequest] = Fields(
    ResponseRequest,
    honoured={
        "input": "text, or items: messages with text, images and files, calls and "
        "their outputs, references to items of stored responses; earlier reasoning "
        "and items of tools that OpenAI runs are left out",
        "model": MODEL,
        "instructions": "the system prompt, of this response only",
        "previous_response_id": "that response's conversation goes on",
        "stream": "OpenAI's events, numbered",
        "store": "true unless said otherwise: kept in memory, see "
        "`ResponseStore` in the options",
        "background": "answered at once, to be asked for by its id; not with `stream`",
        "max_output_tokens": "the answer is cut there and is `incomplete`",
        "reasoning": "`effort`; with `summary` Claude's thoughts are shown",
        "text": "`format`: text; `json_schema` and `json_object`, as `response_format` "
        "of chat completions; `verbosity` has no effect",
        "tools": "functions; `strict` arguments are checked against their schema "
        "before they are passed on; `custom` tools, `local_shell` and those in a "
        "`namespace`. What OpenAI would run itself is left out and named in the header",
        "tool_choice": "asked for in words, checked, corrected once, else an error",
        "parallel_tool_calls": "false: asked for and checked in the same way",
        "metadata": "given back",
    },
    without_effect=(
        "stream_options",
        "include",
        "max_tool_calls",
        "truncation",
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "service_tier",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "access_programs",
        "background_options",
    ),
    refused={
        "conversation": Refusal(
            lambda value: True,
            "There are no conversation objects: use `previous_response_id`.",
        ),
        "prompt": Refusal(
            lambda value: True, "There are no stored prompts: send `input`."
        ),
        "top_logprobs": Refusal(
            bool, "Claude gives no log probabilities: leave it out."
        ),
        "moderation": Refusal(
            lambda value: True, "There is no moderation here: leave it out."
        ),
        "image": Refusal(lambda value: True, "Claude makes no images: leave it out."),
        "context_management": Refusal(
            lambda value: True,
            "Nothing is compacted on its own here: POST to /v1/responses/compact.",
        ),
    },
)

#: What errors about the chat completion are about here.
NAMES = (
    (r"^max_completion_tokens$", "max_output_tokens"),
    (r"^reasoning_effort$", "reasoning.effort"),
    (r"^response_format\.json_schema", "text.format"),
    (r"^response_format", "text.format"),
    (r"^messages$", "input"),
    (r"^(tools\[\d+\](?:\.tools\[\d+\])?)\.function", r"\1"),
    (r"\.image_url\.url$", ".image_url"),
    (r"\.file\.file_data$", ".file_data"),
    (r"\.tool_call_id$", ".call_id"),
    (r"\.tool_calls$", ""),
    (r"\.tool_calls\[\d+\]\.function\.arguments$", ".arguments"),
)

Item = dict[str, Any]

Request = TypeVar("Request", bound=ResponseRequest)

_CREATE = Fields(
    ResponseCreate, RESPONSE.honoured, RESPONSE.without_effect, RESPONSE.refused
)


def decode_response_request(body: bytes) -> ResponseRequest:
    """Read and check a request.

    Raises
    ------
    InvalidRequest
        See `Fields.decode`.
    """
    return _decoded(body, RESPONSE)


def _decoded(body: bytes, fields: Fields[Request]) -> Request:
    request = fields.decode(body)
    if request.background and request.stream:
        raise InvalidRequest(
            "`background`: Not together with `stream`: ask for the response by its id.",
            param="background",
        )
    if request.background and request.store is False:
        raise InvalidRequest(
            "`background`: Needs `store`, to be asked for later.", param="background"
        )
    for index, wish in enumerate(request.include or []):
        if wish not in HARMLESS_INCLUDES:
            raise InvalidRequest(
                f"`include[{index}]`: {quoted(wish)} cannot be had here: leave it out.",
                param=f"include[{index}]",
                code="unsupported_parameter",
            )
    return request


def decode_response_create(message: bytes) -> ResponseCreate | None:
    """Read and check a message of a WebSocket; None is one that asks for nothing.

    Raises
    ------
    InvalidRequest
        See `decode_response_request`; it is another message; or it asks for what
        cannot be on a WebSocket.
    """
    create = _decoded(message, _CREATE)
    if create.type == "response.processed":
        return None
    if create.type != "response.create":
        raise InvalidRequest(
            f"`type`: There is no message {quoted(create.type)} here: send "
            "`response.create`.",
            param="type",
        )
    # Both go without saying here; what says the same is let be.
    for name, only in (("stream", True), ("background", False)):
        if getattr(create, name) not in (None, only):
            raise InvalidRequest(
                f"`{name}`: A WebSocket is always streamed to: leave it out.",
                param=name,
            )
    create.stream = True
    return create


def named_previous(message: bytes) -> str | None:
    """The response that a message goes on with, whatever is wrong with the rest."""
    try:
        return msgspec.json.decode(message, type=_Previous).previous_response_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Previous(msgspec.Struct):
    previous_response_id: str | None = None


def response_fields_without_effect(request: ResponseRequest) -> list[str]:
    """The names of the fields that were sent and change nothing."""
    names = RESPONSE.sent_without_effect(request)
    if request.text is not None and request.text.verbosity is not None:
        names.append("text.verbosity")
    return names


def items_of(request: ResponseRequest) -> list[Item]:
    """The items of `input`, each with its type.

    Raises
    ------
    InvalidRequest
        There are none.
    """
    if isinstance(request.input, str):
        part = {"type": "input_text", "text": request.input}
        return [{"type": "message", "role": "user", "content": [part]}]
    if request.input == [] and request.previous_response_id is not None:
        return []  # that one may have brought the question
    if not request.input:
        raise InvalidRequest("`input` is missing or empty.", param="input")
    return [
        item if "type" in item else {"type": "message", **item}
        for item in request.input
    ]


def chat_request(
    request: ResponseRequest,
    tools: ClientTools,
    before: Sequence[Item],
    items: Sequence[Item],
) -> tuple[ChatCompletionRequest, list[str]]:
    """The same request for a chat completion, and what its messages are called here.

    Parameters
    ----------
    tools:
        Those of the request.
    before:
        The items of the conversation that goes on, those of responses included.
    items:
        What is new.

    Raises
    ------
    InvalidRequest
        An item is none that can be taken.
    """
    named = [("previous_response_id", item) for item in before]
    named += [(f"input[{index}]", item) for index, item in enumerate(items)]
    messages, paths = _messages(named)
    if request.instructions:
        messages.insert(0, SystemMessage(request.instructions))
        paths.insert(0, "instructions")
    effort = request.reasoning.effort if request.reasoning else None
    chat = ChatCompletionRequest(
        messages=messages,
        model=request.model,
        stream=request.stream,
        stream_options=StreamOptions(include_usage=True),
        max_completion_tokens=request.max_output_tokens,
        reasoning_effort=effort,
        tools=tools.functions,
        tool_choice=_choice(request.tool_choice),
        parallel_tool_calls=request.parallel_tool_calls,
        response_format=_format(request.text),
    )
    return chat, paths


def _messages(
    items: Sequence[tuple[str, Item]],
) -> tuple[list[ChatMessage], list[str]]:
    messages: list[ChatMessage] = []
    paths: list[str] = []
    for path, raw in items:
        message = _message(_item(raw, path), path)
        if message is None:
            continue
        last = messages[-1] if messages else None
        if isinstance(message, AssistantMessage) and isinstance(last, AssistantMessage):
            _join(last, message)
            continue
        messages.append(message)
        paths.append(path)
    return messages, paths


def _item(raw: Item, path: str) -> InputItem:
    try:
        item: InputItem = msgspec.convert(raw, InputItem)
    except msgspec.ValidationError as error:
        text, inner = text_and_path(error)
        where = path + inner
        raise InvalidRequest(f"`{where}`: {text}.", param=where) from None
    return item


def _message(item: InputItem, path: str) -> ChatMessage | None:
    if isinstance(item, InputReasoning | HostedCallItem):
        return None
    if isinstance(item, ItemReference):
        raise InvalidRequest(
            f"`{path}.id`: There is no item {quoted(item.id)} here: it belongs to no "
            "stored response. Send the item itself.",
            param=f"{path}.id",
        )
    if isinstance(item, FunctionCallItem | CustomToolCallItem | LocalShellCallItem):
        return AssistantMessage(tool_calls=[tool_call(item)])
    if isinstance(item, LocalShellCallOutput):
        call_id = item.call_id or item.id or ""
        return ToolMessage(call_id, _parts(item.output, f"{path}.output"))
    if isinstance(item, FunctionCallOutput | CustomToolCallOutput):
        return ToolMessage(item.call_id, _parts(item.output, f"{path}.output"))
    parts = _parts(item.content, f"{path}.content")
    kinds: dict[str, type[Any]] = {
        "user": UserMessage,
        "assistant": AssistantMessage,
        "system": SystemMessage,
        "developer": DeveloperMessage,
    }
    message: ChatMessage = kinds[item.role](parts)
    return message


def _parts(content: str | list[InputContent], path: str) -> str | list[Part]:
    if isinstance(content, str):
        return content
    return [_part(part, f"{path}[{index}]") for index, part in enumerate(content)]


def _part(part: InputContent, path: str) -> Part:
    if isinstance(part, InputText | OutputText):
        return TextPart(part.text)
    if isinstance(part, InputImage):
        if part.image_url is None:
            raise InvalidRequest(
                f"`{path}.image_url` is missing: there is no store of files here.",
                param=f"{path}.image_url",
            )
        return ImagePart(ImageURL(part.image_url))
    if isinstance(part, InputFile):
        if part.file_url is not None:
            raise InvalidRequest(
                f"`{path}.file_url`: Files are not fetched: send `file_data`.",
                param=f"{path}.file_url",
            )
        return FilePart(FileData(part.file_data, part.filename, part.file_id))
    return RefusalPart(part.refusal)


def _join(last: AssistantMessage, more: AssistantMessage) -> None:
    def parts(content: str | list[Part] | None) -> list[Part]:
        return [TextPart(content)] if isinstance(content, str) else content or []

    # In place: an answer may have thousands of calls.
    if more.content:
        last.content = parts(last.content)
        last.content += parts(more.content)
    if more.tool_calls:
        last.tool_calls = last.tool_calls or []
        last.tool_calls += more.tool_calls


def _choice(choice: ResponseToolChoice | None) -> ToolChoice | None:
    if choice is None or isinstance(choice, str):
        return choice
    if isinstance(choice, AllowedChoice):
        # Those that are left out are allowed to no effect.
        named = [
            _named(tool) for tool in choice.tools if tool.get("type") not in HOSTED
        ]
        return AllowedToolsChoice(AllowedTools(choice.mode, named))
    return NamedToolChoice(FunctionName(choice.name))


def _named(tool: Item) -> NamedToolChoice:
    name = tool.get("name") or tool.get("type") or ""
    return NamedToolChoice(FunctionName(flat_name(str(name), tool.get("namespace"))))


def _format(text: TextConfig | None) -> ResponseFormat | None:
    wanted = text.format if text is not None else None
    if isinstance(wanted, JSONObject):
        return JSONObjectFormat()
    if isinstance(wanted, JSONSchemaText):
        return JSONSchemaFormat(
            JSONSchema(wanted.name, wanted.schema, wanted.description, wanted.strict)
        )
    return None
