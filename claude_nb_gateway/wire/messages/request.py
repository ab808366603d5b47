"""A request of the Messages API: its fields, and what it asks. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence

from ...claude_code.turns import ContentBlock, FieldNames
from ...errors import InvalidRequest, quoted
from ..answer_format import TEXT, AnswerFormat, json_schema
from ..attachments import Images, file_block
from ..calls import Call
from ..conversation import Message, Reading, checked_limit, read, text_blocks
from ..fields import MODEL, Fields, Refusal
from ..stop import check_lengths
from ..tools import FunctionDefinition, ToolUse, tool_use
from ..tools import ToolChoice as Choice
from .types import (
    Base64Source,
    BashResultBlock,
    CodeExecutionResultBlock,
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
from .types import ContentBlock as Block

# Anthropic documents no limit, but each sequence costs time in each delta.
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

_NAMES = FieldNames(answer="output_config.format")


def read_request(request: CountTokensRequest) -> Reading:
    """What `request` asks.

    Raises
    ------
    InvalidRequest
        A block, a tool or the format cannot be used, or there is no question.
    """
    images = Images()
    messages = [
        made
        for index, message in enumerate(request.messages)
        for made in _messages(message, f"messages[{index}]", images)
    ]
    if request.system:
        messages.insert(0, Message("system", _system(request.system), "system"))
    output = request.output_config
    limit, stop = None, list[str]()
    if isinstance(request, MessagesRequest):
        limit = checked_limit(request.max_tokens, "max_tokens")
        stop = stop_sequences(request)
    return read(
        messages,
        model=request.model,
        effort=output.effort if output else None,
        max_output_tokens=limit,
        tools=_tools(request, messages),
        answer=_answer_format(request),
        stop=stop,
        images=images.remote,
        names=_NAMES,
    )


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


def _system(system: str | list[TextBlock]) -> list[ContentBlock]:
    texts = [system] if isinstance(system, str) else [block.text for block in system]
    return [block for text in texts for block in text_blocks(text)]


def _messages(message: MessageParam, path: str, images: Images) -> Iterator[Message]:
    """The results of calls in `message`, then the rest of it."""
    if isinstance(message.content, str):
        yield Message(message.role, text_blocks(message.content), path)
        return
    if message.role == "assistant":
        yield _assistant(message.content, path)
        return
    others: list[ContentBlock] = []
    brings_results = False
    for index, block in enumerate(message.content):
        where = f"{path}.content[{index}]"
        if isinstance(block, ToolResultBlock):
            brings_results = True
            yield _result(block, where, images)
            continue
        made = _blocks(block, where, images)
        if message.role == "system" and any(b["type"] != "text" for b in made):
            raise InvalidRequest(f"`{where}`: only text can be sent here.", param=where)
        others += made
    if others or not brings_results:
        yield Message(message.role, others, path)


def _assistant(blocks: Sequence[Block], path: str) -> Message:
    content: list[ContentBlock] = []
    calls = []
    for index, block in enumerate(blocks):
        where = f"{path}.content[{index}]"
        if isinstance(block, TextBlock):
            content += text_blocks(block.text)
        elif isinstance(block, ToolUseBlock):
            calls.append(Call(block.id, block.name, block.input, f"{where}.input"))
        elif not isinstance(block, NOT_TOLD_AGAIN):
            raise _misplaced(where)
    return Message("assistant", content, path, calls, path)


def _result(block: ToolResultBlock, path: str, images: Images) -> Message:
    if isinstance(block.content, str):
        content = text_blocks(block.content)
    else:
        content = [
            made
            for index, part in enumerate(block.content or [])
            for made in _blocks(part, f"{path}.content[{index}]", images)
        ]
    return Message(
        "tool",
        content,
        f"{path}.tool_use_id",
        call_id=block.tool_use_id,
        failed=bool(block.is_error),
    )


def _blocks(block: Block, path: str, images: Images) -> list[ContentBlock]:
    if isinstance(block, TextBlock):
        return text_blocks(block.text)
    if isinstance(block, ImageBlock):
        source = block.source
        if isinstance(source, Base64Source):
            url = f"data:{source.media_type};base64,{source.data}"
        elif isinstance(source, URLSource):
            url = source.url
        else:
            raise _no_file(path)
        return [images.block(url, f"{path}.source")]
    if isinstance(block, DocumentBlock):
        return [_document(block, path)]
    raise _misplaced(path)


def _document(block: DocumentBlock, path: str) -> ContentBlock:
    source = block.source
    if isinstance(source, Base64Source):
        data = f"data:{source.media_type};base64,{source.data}"
    elif isinstance(source, TextSource):
        encoded = base64.b64encode(source.data.encode()).decode()
        data = f"data:text/plain;base64,{encoded}"
    else:
        raise _no_file(path)
    return file_block(data, block.title, f"{path}.source.data")


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
    """The fields of tools that Anthropic's servers run, which the gateway cannot."""
    return [
        f"tools[{index}]"
        for index, tool in enumerate(request.tools or [])
        if _SERVERS_TOOL.fullmatch(tool.type or "")
    ]


def fields_without_effect(request: CountTokensRequest) -> list[str]:
    """The fields within messages that were sent and have no effect."""
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


def _tools(request: CountTokensRequest, messages: Sequence[Message]) -> ToolUse:
    functions = [
        _function(tool, f"tools[{index}]")
        for index, tool in enumerate(request.tools or [])
        if not _SERVERS_TOOL.fullmatch(tool.type or "")
    ]
    choice = request.tool_choice
    return tool_use(
        functions,
        _tool_choice(choice),
        one_at_a_time=bool(getattr(choice, "disable_parallel_tool_use", None)),
        has_results=any(message.role == "tool" for message in messages),
    )


def _function(tool: ToolParam, path: str) -> FunctionDefinition:
    if tool.type not in (None, "custom"):
        raise InvalidRequest(
            f"`{path}.type`: {quoted(tool.type)} is no tool that there is here: "
            "describe it as one of your own, with `input_schema`.",
            param=f"{path}.type",
        )
    return FunctionDefinition(
        tool.name,
        tool.description,
        tool.input_schema,
        tool.strict,
        path,
        f"{path}.input_schema",
    )


def _tool_choice(choice: ToolChoice | None) -> Choice:
    if isinstance(choice, NamedTool):
        return Choice("named", (choice.name,))
    if isinstance(choice, RequiredTool):
        return Choice("required")
    return Choice("none" if isinstance(choice, NoTool) else "auto")


def _answer_format(request: CountTokensRequest) -> AnswerFormat:
    output = request.output_config
    if output is None or output.format is None:
        return TEXT
    return json_schema(output.format.schema, "output_config.format.schema")
