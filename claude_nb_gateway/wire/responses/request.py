"""A request of the Responses API: its fields, and what it asks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from ...claude_code.turns import ContentBlock, FieldNames
from ...errors import InvalidRequest, quoted
from ..answer_format import JSON_OBJECT, TEXT, AnswerFormat, json_schema
from ..attachments import Images, file_block
from ..conversation import Message, Reading, checked_limit, read, text_blocks
from ..fields import MODEL, Fields, Refusal, text_and_path
from ..tools import ToolChoice, tool_use
from .socket_types import ResponseCreate
from .tool_types import (
    AllowedChoice,
    CustomToolCallItem,
    HostedCallItem,
    LocalShellCallItem,
)
from .tools import HOSTED, ClientTools, earlier_call, flat_name
from .types import (
    FunctionCallItem,
    InputContent,
    InputFile,
    InputImage,
    InputItem,
    InputMessage,
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
from .types import Refusal as RefusalPart

#: Values of `include` that are always there, or have no effect.
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

_NAMES = FieldNames(messages="input", answer="text.format")

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
    """Read and check a message of a WebSocket; None if it asks for nothing.

    Raises
    ------
    InvalidRequest
        See `decode_response_request`; or it is another message, or has a field that
        makes no sense on a WebSocket.
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
    # A WebSocket always streams. A field that says so is fine.
    for name, only in (("stream", True), ("background", False)):
        if getattr(create, name) not in (None, only):
            raise InvalidRequest(
                f"`{name}`: A WebSocket is always streamed to: leave it out.",
                param=name,
            )
    create.stream = True
    return create


def named_previous(message: bytes) -> str | None:
    """The `previous_response_id` of a message, even if the rest is not valid."""
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
        return []  # the previous response may end with the question
    if not request.input:
        raise InvalidRequest("`input` is missing or empty.", param="input")
    return [
        item if "type" in item else {"type": "message", **item}
        for item in request.input
    ]


def read_messages(
    request: ResponseRequest,
    before: Sequence[Item],
    items: Sequence[Item],
    images: Images,
) -> list[Message]:
    """The messages of a conversation.

    Parameters
    ----------
    before:
        The items of the previous responses, input and output.
    items:
        The new items.
    images:
        Gets the images to fetch.

    Raises
    ------
    InvalidRequest
        An item cannot be used.
    """
    named = [("previous_response_id", item) for item in before]
    named += [(f"input[{index}]", item) for index, item in enumerate(items)]
    messages: list[Message] = []
    if request.instructions:
        content = text_blocks(request.instructions)
        messages.append(Message("system", content, "instructions"))
    for path, raw in named:
        message = _message(_item(raw, path), path, images)
        if message is None:
            continue
        last = messages[-1] if messages else None
        if last is not None and last.role == message.role == "assistant":
            # In place: an answer may have thousands of calls.
            last.content += message.content
            last.calls += message.calls
        else:
            messages.append(message)
    return messages


def read_request(
    request: ResponseRequest,
    tools: ClientTools,
    messages: Sequence[Message],
    images: Images,
) -> Reading:
    """What `request`, with `tools`, asks after `messages`.

    Raises
    ------
    InvalidRequest
        There is no question, or a tool or the format cannot be used.
    """
    return read(
        messages,
        model=request.model,
        effort=request.reasoning.effort if request.reasoning else None,
        max_output_tokens=checked_limit(request.max_output_tokens, "max_output_tokens"),
        tools=tool_use(
            tools.functions,
            _tool_choice(request.tool_choice),
            one_at_a_time=request.parallel_tool_calls is False,
            has_results=any(message.role == "tool" for message in messages),
        ),
        answer=_answer_format(request.text),
        images=images.remote,
        names=_NAMES,
    )


def _item(raw: Item, path: str) -> InputItem:
    try:
        item: InputItem = msgspec.convert(raw, InputItem)
    except msgspec.ValidationError as error:
        text, inner = text_and_path(error)
        where = path + inner
        raise InvalidRequest(f"`{where}`: {text}.", param=where) from None
    return item


def _message(item: InputItem, path: str, images: Images) -> Message | None:
    if isinstance(item, InputReasoning | HostedCallItem):
        return None
    if isinstance(item, ItemReference):
        raise InvalidRequest(
            f"`{path}.id`: There is no item {quoted(item.id)} here: it belongs to no "
            "stored response. Send the item itself.",
            param=f"{path}.id",
        )
    if isinstance(item, FunctionCallItem | CustomToolCallItem | LocalShellCallItem):
        return Message("assistant", [], path, [earlier_call(item, path)], path)
    if isinstance(item, InputMessage):
        role = "system" if item.role == "developer" else item.role
        kinds = _MAY_SEND.get(role, _TEXTS)
        content = _blocks(item.content, f"{path}.content", kinds, images)
        return Message(role, list(content), path, calls_path=path)
    call_id = item.call_id
    if isinstance(item, LocalShellCallOutput):
        call_id = call_id or item.id or ""
    content = _blocks(item.output, f"{path}.output", _RESULTS, images)
    return Message("tool", list(content), f"{path}.call_id", call_id=call_id or "")


_TEXTS: tuple[type[Any], ...] = (InputText, OutputText, RefusalPart)
# The CLI accepts text and images in results of tools, and files only of the user.
_RESULTS: tuple[type[Any], ...] = (*_TEXTS, InputImage)
_MAY_SEND: dict[str, tuple[type[Any], ...]] = {"user": (*_RESULTS, InputFile)}


def _blocks(
    content: str | list[InputContent],
    path: str,
    kinds: tuple[type[Any], ...],
    images: Images,
) -> Iterator[ContentBlock]:
    if isinstance(content, str):
        yield from text_blocks(content)
        return
    for index, part in enumerate(content):
        where = f"{path}[{index}]"
        if not isinstance(part, kinds):
            allowed = "text and images" if InputImage in kinds else "text"
            raise InvalidRequest(
                f"`{where}`: only {allowed} can be sent here.", param=where
            )
        yield from _part_blocks(part, where, images)


def _part_blocks(part: InputContent, path: str, images: Images) -> list[ContentBlock]:
    if isinstance(part, InputText | OutputText):
        return text_blocks(part.text)
    if isinstance(part, InputImage):
        if part.image_url is None:
            raise InvalidRequest(
                f"`{path}.image_url` is missing: there is no store of files here.",
                param=f"{path}.image_url",
            )
        return [images.block(part.image_url, f"{path}.image_url")]
    if isinstance(part, InputFile):
        if part.file_url is not None:
            raise InvalidRequest(
                f"`{path}.file_url`: Files are not fetched: send `file_data`.",
                param=f"{path}.file_url",
            )
        data = None if part.file_id is not None else part.file_data
        return [file_block(data, part.filename, f"{path}.file_data")]
    return text_blocks(part.refusal)


def _tool_choice(choice: ResponseToolChoice | None) -> ToolChoice:
    if choice is None or isinstance(choice, str):
        return ToolChoice(choice or "auto")
    if isinstance(choice, AllowedChoice):
        # Tools that are left out cannot be called anyway.
        names = [_name(tool) for tool in choice.tools if tool.get("type") not in HOSTED]
        required = choice.mode == "required"
        return ToolChoice("allowed", tuple(names), required=required)
    return ToolChoice("named", (choice.name,))


def _name(tool: Item) -> str:
    name = tool.get("name") or tool.get("type") or ""
    return flat_name(str(name), tool.get("namespace"))


def _answer_format(text: TextConfig | None) -> AnswerFormat:
    wanted = text.format if text is not None else None
    if isinstance(wanted, JSONObject):
        return JSON_OBJECT
    if isinstance(wanted, JSONSchemaText):
        return json_schema(
            wanted.schema,
            "text.format.schema",
            strict=wanted.strict,
            name=wanted.name,
            description=wanted.description,
        )
    return TEXT
