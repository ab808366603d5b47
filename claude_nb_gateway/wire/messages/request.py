"""From a request of the Messages API to one for a chat completion. Pure."""

from __future__ import annotations

import base64
import json
import re

from ...errors import InvalidRequest, quoted
from ...turn.stop import check_lengths
from ..chat import types as chat
from ..fields import MODEL, Fields, Names, Refusal, check_depth
from .types import (
    Base64Source,
    BashResultBlock,
    CodeExecutionResultBlock,
    ContentBlock,
    CountTokensRequest,
    DocumentBlock,
    ImageBlock,
    MessageParam,
    MessagesRequest,
    NamedTool,
    NoTool,
    RedactedThinkingBlock,
    RequiredTool,
    ServerToolUseBlock,
    TextBlock,
    TextEditorResultBlock,
    TextSource,
    ThinkingBlock,
    ToolChoice,
    ToolParam,
    ToolResultBlock,
    ToolSearchResultBlock,
    ToolUseBlock,
    URLSource,
    WebFetchResultBlock,
    WebSearchResultBlock,
)

# Anthropic names no limit. Each is looked for in every word of the answer.
MOST_STOP_SEQUENCES = 64

# Tools that Anthropic's servers run: `web_search_20250305`.
_SERVERS_TOOL = re.compile(
    r"(web_search|web_fetch|code_execution|tool_search_tool_[a-z0-9]+|advisor)_\d{8}"
    r"|tool_search_tool_(regex|bm25)"
)
NOT_TOLD_AGAIN = (
    ThinkingBlock,
    RedactedThinkingBlock,
    ServerToolUseBlock,
    WebSearchResultBlock,
    WebFetchResultBlock,
    CodeExecutionResultBlock,
    BashResultBlock,
    TextEditorResultBlock,
    ToolSearchResultBlock,
)

_NO_SERVERS = "The gateway connects to no MCP servers: leave it out."

_COUNTED = {
    "model": MODEL,
    "messages": "real turns, in order and verbatim: text, images, documents, calls "
    "and results; earlier thinking and what Anthropic's tools gave are left out; "
    "`context` and `citations` of documents have no effect",
    "system": "the system prompt",
    "tools": "the client's own; `strict` input is checked against its schema before it "
    "is passed on. Those that Anthropic runs are left out and named in the header",
    "tool_choice": "asked for in words, checked, corrected once, else an error; so is "
    "`disable_parallel_tool_use`",
    "thinking": "thoughts are shown unless it is absent, disabled or their display "
    "omitted; the budget is Claude Code's own",
    "output_config": "`effort`; `format`: held to by the CLI, and checked for what "
    "that cannot be asked for",
}
_COUNTED_REFUSED = {
    "mcp_servers": Refusal(bool, _NO_SERVERS),
}

COUNT_TOKENS: Fields[CountTokensRequest] = Fields(
    CountTokensRequest,
    _COUNTED,
    ("cache_control", "context_management"),
    _COUNTED_REFUSED,
)

MESSAGES: Fields[MessagesRequest] = Fields(
    MessagesRequest,
    honoured={
        **_COUNTED,
        "max_tokens": "the answer is cut there",
        "stream": "Anthropic's events",
        "stop_sequences": "the answer ends before the first of up to 64",
    },
    without_effect=(
        "cache_control",
        "context_management",
        "temperature",
        "top_p",
        "top_k",
        "metadata",
        "service_tier",
        "inference_geo",
        "speed",
        "diagnostics",
        "user_profile_id",
        "workspace_id",
    ),
    refused={
        **_COUNTED_REFUSED,
        "container": Refusal(
            lambda value: True, "There are no containers here: leave it out."
        ),
    },
)

#: What errors about the chat completion are about here.
NAMES = (
    (r"^max_completion_tokens$", "max_tokens"),
    (r"^reasoning_effort$", "output_config.effort"),
    (r"^response_format\.json_schema", "output_config.format"),
    (r"^response_format", "output_config.format"),
    (r"^(tools\[\d+\])\.function\.parameters", r"\1.input_schema"),
    (r"^(tools\[\d+\])\.function", r"\1"),
    (r"\.image_url\.url$", ".source"),
    (r"\.file\.file_data$", ".source.data"),
    (r"\.tool_call_id$", ".tool_use_id"),
    (r"\.tool_calls$", ""),
)


def chat_request(
    request: CountTokensRequest,
) -> tuple[chat.ChatCompletionRequest, list[str]]:
    """The same request for a chat completion, and what its messages are called here.

    Raises
    ------
    InvalidRequest
        A content block cannot be taken.
    """
    messages: list[chat.ChatMessage] = []
    paths: list[str] = []
    if request.system:
        parts: list[chat.Part] | str = (
            request.system
            if isinstance(request.system, str)
            else [chat.TextPart(block.text) for block in request.system]
        )
        messages.append(chat.SystemMessage(parts))
        paths.append("system")
    for index, message in enumerate(request.messages):
        made = _messages(message, f"messages[{index}]")
        messages += made
        paths += [f"messages[{index}]"] * len(made)
    made_request = chat.ChatCompletionRequest(
        messages=messages,
        model=request.model,
        tools=[_tool(tool, path) for path, tool in _clients_tools(request)],
        tool_choice=_choice(request.tool_choice),
        parallel_tool_calls=False if _one_at_a_time(request.tool_choice) else None,
        stream_options=chat.StreamOptions(include_usage=True),
    )
    if isinstance(request, MessagesRequest):
        made_request.stream = request.stream
        made_request.max_completion_tokens = request.max_tokens
    if (output := request.output_config) is not None:
        made_request.reasoning_effort = output.effort
        if output.format is not None:
            schema = chat.JSONSchema("answer", output.format.schema)
            made_request.response_format = chat.JSONSchemaFormat(schema)
    return made_request, paths


def stop_sequences(request: MessagesRequest) -> list[str]:
    """The stop sequences of `request` that are not empty.

    Raises
    ------
    InvalidRequest
        There are too many, or a very long one.
    """
    sequences = [text for text in request.stop_sequences or [] if text]
    if len(sequences) > MOST_STOP_SEQUENCES:
        raise InvalidRequest(
            f"`stop_sequences`: there may be up to {MOST_STOP_SEQUENCES}.",
            param="stop_sequences",
        )
    check_lengths(sequences, "stop_sequences")
    return sequences


def shows_thoughts(request: MessagesRequest) -> bool:
    """Whether the client wants to see what the model thinks."""
    thinking = request.thinking
    if thinking is None or thinking.type == "disabled":
        return False
    return thinking.display != "omitted"


def _messages(message: MessageParam, path: str) -> list[chat.ChatMessage]:
    if message.role == "assistant":
        return [_assistant(message, path)]
    results: list[chat.ChatMessage] = []
    parts: list[chat.Part] = []
    if isinstance(message.content, str):
        parts.append(chat.TextPart(message.content))
        blocks: list[ContentBlock] = []
    else:
        blocks = message.content
    for index, block in enumerate(blocks):
        if isinstance(block, ToolResultBlock):
            results.append(_result(block, f"{path}.content[{index}]"))
        else:
            parts.append(_part(block, f"{path}.content[{index}]"))
    if message.role == "system":
        return [chat.SystemMessage(parts)]
    return [*results, chat.UserMessage(parts)] if parts or not results else results


def _assistant(message: MessageParam, path: str) -> chat.AssistantMessage:
    if isinstance(message.content, str):
        return chat.AssistantMessage(message.content)
    parts: list[chat.Part] = []
    calls = []
    for index, block in enumerate(message.content):
        if isinstance(block, TextBlock):
            parts.append(chat.TextPart(block.text))
        elif isinstance(block, ToolUseBlock):
            check_depth(block.input, f"{path}.content[{index}].input")
            function = chat.FunctionCall(block.name, json.dumps(block.input))
            calls.append(chat.ToolCall(id=block.id, function=function))
        elif not isinstance(block, NOT_TOLD_AGAIN):
            raise _misplaced(f"{path}.content[{index}]")
    return chat.AssistantMessage(parts, calls or None)


def _result(block: ToolResultBlock, path: str) -> chat.ToolMessage:
    content: str | list[chat.Part] = (
        block.content
        if isinstance(block.content, str)
        else [
            _part(part, f"{path}.content[{index}]")
            for index, part in enumerate(block.content or [])
        ]
    )
    return chat.ToolMessage(block.tool_use_id, content, block.is_error)


def _part(block: ContentBlock, path: str) -> chat.Part:
    if isinstance(block, TextBlock):
        return chat.TextPart(block.text)
    if isinstance(block, ImageBlock):
        source = block.source
        if isinstance(source, Base64Source):
            url = f"data:{source.media_type};base64,{source.data}"
        elif isinstance(source, URLSource):
            url = source.url
        else:
            raise _no_file(path)
        return chat.ImagePart(chat.ImageURL(url))
    if isinstance(block, DocumentBlock):
        return chat.FilePart(_file(block, path))
    raise _misplaced(path)


def _file(block: DocumentBlock, path: str) -> chat.FileData:
    source = block.source
    if isinstance(source, Base64Source):
        data = f"data:{source.media_type};base64,{source.data}"
    elif isinstance(source, TextSource):
        encoded = base64.b64encode(source.data.encode()).decode()
        data = f"data:text/plain;base64,{encoded}"
    else:
        raise _no_file(path)
    return chat.FileData(data, block.title)


def _no_file(path: str) -> InvalidRequest:
    return InvalidRequest(
        f"`{path}.source`: send the content itself, as base64 or text.",
        param=f"{path}.source",
    )


def _misplaced(path: str) -> InvalidRequest:
    return InvalidRequest(
        f"`{path}.type`: a block of this type has no place here.",
        param=f"{path}.type",
    )


def tools_left_out(request: CountTokensRequest) -> list[str]:
    """The paths of the tools that Anthropic would run, which nobody does here."""
    return [
        f"tools[{index}]"
        for index, tool in enumerate(request.tools or [])
        if _SERVERS_TOOL.fullmatch(tool.type or "")
    ]


def fields_without_effect(request: CountTokensRequest) -> list[str]:
    """The names of the fields within messages that were sent and change nothing."""
    documents = [
        block
        for message in request.messages
        if isinstance(message.content, list)
        for block in message.content
        if isinstance(block, DocumentBlock)
    ]
    sent = {
        "context": any(block.context for block in documents),
        "citations": any((block.citations or {}).get("enabled") for block in documents),
    }
    return [f"messages[].content[].{name}" for name, is_sent in sent.items() if is_sent]


def names_in(request: CountTokensRequest) -> Names:
    """What errors about the chat completion of `request` are about here."""
    paths = [path for path, _ in _clients_tools(request)]
    return ((r"^tools\[(\d+)\]", lambda found: paths[int(found[1])]), *NAMES)


def _clients_tools(request: CountTokensRequest) -> list[tuple[str, ToolParam]]:
    return [
        (f"tools[{index}]", tool)
        for index, tool in enumerate(request.tools or [])
        if not _SERVERS_TOOL.fullmatch(tool.type or "")
    ]


def _tool(tool: ToolParam, path: str) -> chat.FunctionTool:
    if tool.type not in (None, "custom"):
        raise InvalidRequest(
            f"`{path}.type`: {quoted(tool.type)} is no tool that there is here: "
            "describe it as one of your own, with `input_schema`.",
            param=f"{path}.type",
        )
    function = chat.FunctionDefinition(
        tool.name, tool.description, tool.input_schema, tool.strict
    )
    return chat.FunctionTool(function)


def _choice(choice: ToolChoice | None) -> chat.ToolChoice | None:
    if isinstance(choice, NamedTool):
        return chat.NamedToolChoice(chat.FunctionName(choice.name))
    if isinstance(choice, RequiredTool):
        return "required"
    return "none" if isinstance(choice, NoTool) else None


def _one_at_a_time(choice: ToolChoice | None) -> bool:
    return bool(getattr(choice, "disable_parallel_tool_use", None))
