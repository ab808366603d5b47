"""The objects of Anthropic's Messages API, as far as used here.

Field by field as in https://docs.anthropic.com/en/api/messages.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from ..fields import Name, NotNegative, PathText, Share


class TextBlock(Struct, tag="text"):
    """Text."""

    text: str


class Base64Source(Struct, tag="base64"):
    """The content itself."""

    media_type: str
    data: str


class URLSource(Struct, tag="url"):
    """Where the content is."""

    url: str


class TextSource(Struct, tag="text"):
    """The text itself."""

    data: str
    media_type: str = "text/plain"


class FileSource(Struct, tag="file"):
    """A file in a store, which the gateway does not have."""

    file_id: Name


class ImageBlock(Struct, tag="image"):
    """An image."""

    source: Base64Source | URLSource | FileSource


class DocumentBlock(Struct, tag="document"):
    """A PDF or a text."""

    source: Base64Source | TextSource | URLSource | FileSource
    title: PathText | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None


class ToolUseBlock(Struct, tag="tool_use"):
    """A call of a tool by the model."""

    id: str
    name: Name
    input: dict[str, Any]


class ToolResultBlock(Struct, tag="tool_result"):
    """The result of a call."""

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock] | None = None
    is_error: bool | None = None


class ThinkingBlock(Struct, tag="thinking"):
    """An earlier thought; it is not sent to the model again."""

    thinking: str = ""
    signature: str = ""


class RedactedThinkingBlock(Struct, tag="redacted_thinking"):
    """An earlier thought in encrypted form."""

    data: str = ""


class ServerToolUseBlock(Struct, tag="server_tool_use"):
    """A call of a tool of Anthropic's servers; it is not sent to the model again."""


class WebSearchResultBlock(Struct, tag="web_search_tool_result"):
    """The results of a search on Anthropic's servers; left out."""


class WebFetchResultBlock(Struct, tag="web_fetch_tool_result"):
    """A page that Anthropic's servers fetched; left out."""


class CodeExecutionResultBlock(Struct, tag="code_execution_tool_result"):
    """The output of code that ran on Anthropic's servers; left out."""


class BashResultBlock(Struct, tag="bash_code_execution_tool_result"):
    """The output of a command on Anthropic's servers; left out."""


class TextEditorResultBlock(Struct, tag="text_editor_code_execution_tool_result"):
    """The change of a file on Anthropic's servers; left out."""


class ToolSearchResultBlock(Struct, tag="tool_search_tool_result"):
    """The tools that a search on Anthropic's servers found; left out."""


ContentBlock = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | ToolUseBlock
    | ToolResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ServerToolUseBlock
    | WebSearchResultBlock
    | WebFetchResultBlock
    | CodeExecutionResultBlock
    | BashResultBlock
    | TextEditorResultBlock
    | ToolSearchResultBlock
)


class MessageParam(Struct):
    """A message; a `system` message counts as the user's."""

    role: Literal["user", "assistant", "system"]
    content: str | list[ContentBlock]


class ToolParam(Struct, kw_only=True):
    """A tool of the client's; others have another type."""

    name: Name
    type: Name | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class AnyTool(Struct, tag="auto"):
    """The model may call a tool."""

    disable_parallel_tool_use: bool | None = None


class RequiredTool(Struct, tag="any"):
    """The model must call a tool."""

    disable_parallel_tool_use: bool | None = None


class NamedTool(Struct, tag="tool"):
    """The model must call this tool."""

    name: Name
    disable_parallel_tool_use: bool | None = None


class NoTool(Struct, tag="none"):
    """The model must not call a tool."""


ToolChoice = AnyTool | RequiredTool | NamedTool | NoTool


class JSONOutput(Struct, tag="json_schema"):
    """The answer is JSON of this schema."""

    schema: dict[str, Any]


class OutputConfig(Struct):
    """The format of the answer, and the effort for it."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JSONOutput | None = None


class Thinking(Struct):
    """Whether thoughts are shown. Claude Code decides how much the model thinks."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class CountTokensRequest(Struct, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`."""

    model: str | None = None
    messages: list[MessageParam]
    system: str | list[TextBlock] | None = None
    tools: list[ToolParam] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    context_management: dict[str, Any] | None = None


class MessagesRequest(CountTokensRequest, kw_only=True):
    """The body of `POST /v1/messages`.

    For what each field does see `wire.messages.request`.
    """

    max_tokens: int
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: NotNegative | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    container: Any = None
    inference_geo: str | None = None
    speed: str | None = None
    diagnostics: dict[str, Any] | None = None
    user_profile_id: Any = None
    workspace_id: Any = None


class TokenCount(Struct):
    """The answer to `POST /v1/messages/count_tokens`: Claude Code's own estimate."""

    input_tokens: int


class MessageUsage(Struct):
    """Token counts; `input_tokens` does not include those of the cache."""

    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0


class ThinkingOut(Struct, tag="thinking"):
    """A thought of the model; it needs no signature to come back here."""

    thinking: str
    signature: str = ""


class TextOut(Struct, tag="text"):
    """What the model said."""

    text: str


class ToolUseOut(Struct, tag="tool_use"):
    """A call that the model makes; answer it by a `tool_result`."""

    id: str
    name: Name
    input: dict[str, Any]


OutputBlock = TextOut | ThinkingOut | ToolUseOut
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class AssistantMessage(Struct, kw_only=True):
    """The answer, begun or whole."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[OutputBlock] = []
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: MessageUsage


class MessageStart(Struct, tag="message_start"):
    """The answer begins."""

    message: AssistantMessage


class ContentBlockStart(Struct, tag="content_block_start"):
    """A block begins."""

    index: int
    content_block: OutputBlock


class TextDelta(Struct, tag="text_delta"):
    """More text."""

    text: str


class ThinkingDelta(Struct, tag="thinking_delta"):
    """More of a thought."""

    thinking: str


class InputJSONDelta(Struct, tag="input_json_delta"):
    """More of a call's input, which is JSON as text."""

    partial_json: str


class ContentBlockDelta(Struct, tag="content_block_delta"):
    """A block grows."""

    index: int
    delta: TextDelta | ThinkingDelta | InputJSONDelta


class ContentBlockStop(Struct, tag="content_block_stop"):
    """A block is whole."""

    index: int


class StopDelta(Struct):
    """Why the answer ends."""

    stop_reason: StopReason
    stop_sequence: str | None = None


class MessageDelta(Struct, tag="message_delta"):
    """The answer is about to end."""

    delta: StopDelta
    usage: MessageUsage


class MessageStop(Struct, tag="message_stop"):
    """The answer has ended."""


class ErrorDetail(Struct):
    """What went wrong, in Anthropic's shape."""

    type: str
    message: str


class ErrorEvent(Struct, tag="error", kw_only=True):
    """An error, as a response or as the last event of a stream."""

    error: ErrorDetail
    request_id: str | None = None


class ModelInfo(Struct, kw_only=True):
    """A model as Anthropic's clients read it."""

    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"] = "active"


class ModelInfoList(Struct, kw_only=True):
    """The answer to `GET /v1/models` for Anthropic's clients."""

    data: list[ModelInfo]
    first_id: str | None
    last_id: str | None
    has_more: bool = False
