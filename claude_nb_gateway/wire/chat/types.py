"""The request and response objects of OpenAI's chat completions, as far as used here.

Field by field as in https://platform.openai.com/docs/api-reference/chat.
Unknown fields of a request are accepted. `msgspec` checks the others, and its messages
name the JSON path of the error.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from ..fields import (
    AtLeastOne,
    Bias,
    Name,
    PathText,
    Penalty,
    ReasoningEffort,
    Share,
    Temperature,
)


class TextPart(Struct, tag="text"):
    """Text."""

    text: str


class ImageURL(Struct):
    """Where an image is: a `data:` URI, or a remote URL."""

    url: str
    detail: str | None = None


class ImagePart(Struct, tag="image_url"):
    """An image."""

    image_url: ImageURL


class RefusalPart(Struct, tag="refusal"):
    """What the assistant said when it refused."""

    refusal: str


class AudioPart(Struct, tag="input_audio"):
    """Sound, which Claude does not take."""


class FileData(Struct):
    """A file: base64, as a data URI or alone; `file_id` is not supported."""

    file_data: str | None = None
    filename: PathText | None = None
    file_id: Name | None = None


class FilePart(Struct, tag="file"):
    """A PDF, or a text."""

    file: FileData


Part = TextPart | ImagePart | RefusalPart | AudioPart | FilePart


class SystemMessage(Struct, tag="system", tag_field="role"):
    """The system prompt, or an instruction in the middle."""

    content: str | list[Part]
    name: str | None = None


class DeveloperMessage(Struct, tag="developer", tag_field="role"):
    """A system message under its newer name."""

    content: str | list[Part]
    name: str | None = None


class UserMessage(Struct, tag="user", tag_field="role"):
    """What the user says."""

    content: str | list[Part]
    name: str | None = None


class FunctionCall(Struct):
    """A function's name and its arguments, which are JSON as text."""

    name: Name
    arguments: str


class ToolCall(Struct, kw_only=True):
    """A call of a function by the model."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class AssistantMessage(Struct, tag="assistant", tag_field="role"):
    """What the model said before."""

    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Any = None
    name: str | None = None


class ToolMessage(Struct, tag="tool", tag_field="role"):
    """The result of a tool call; `is_error` is the gateway's own, for a failed call."""

    tool_call_id: str
    content: str | list[Part]
    is_error: bool | None = None


class FunctionMessage(Struct, tag="function", tag_field="role"):
    """The result of a function call, in the old form."""


ChatMessage = (
    SystemMessage
    | DeveloperMessage
    | UserMessage
    | AssistantMessage
    | ToolMessage
    | FunctionMessage
)


class StreamOptions(Struct):
    """What a stream has beside the answer; `include_session` is the gateway's own."""

    include_usage: bool | None = None
    include_session: bool | None = None


class FunctionDefinition(Struct):
    """A function the model may call; `parameters` is a JSON schema."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Struct, tag="function"):
    """A function as a tool."""

    function: FunctionDefinition


class FunctionName(Struct):
    """A function by its name."""

    name: Name


class NamedToolChoice(Struct, tag="function"):
    """The model must call this function."""

    function: FunctionName


class AllowedTools(Struct):
    """Tools the model may call, or of which it must call one."""

    mode: Literal["auto", "required"]
    tools: list[NamedToolChoice]


class AllowedToolsChoice(Struct, tag="allowed_tools"):
    """The model may call these and no others."""

    allowed_tools: AllowedTools


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice | AllowedToolsChoice


class TextFormat(Struct, tag="text"):
    """The answer is text."""


class JSONObjectFormat(Struct, tag="json_object"):
    """The answer is any JSON object."""


class JSONSchema(Struct):
    """A schema with its name; the answer must match unless `strict` is false."""

    name: Name
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class JSONSchemaFormat(Struct, tag="json_schema"):
    """The answer is JSON of this schema."""

    json_schema: JSONSchema


ResponseFormat = TextFormat | JSONObjectFormat | JSONSchemaFormat


class ChatCompletionRequest(Struct):
    """The body of `POST /v1/chat/completions`.

    For what each field does see `wire.chat.request`.
    """

    messages: list[ChatMessage]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: ReasoningEffort | None = None
    n: AtLeastOne | None = None
    stop: str | list[str] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    audio: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: ToolChoice | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    web_search_options: Any = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    seed: int | None = None
    prediction: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    moderation: Any = None
    project_id: PathText | None = None
    session_id: Name | None = None


class PromptTokensDetails(Struct):
    """How the prompt's tokens divide."""

    cached_tokens: int = 0


class CompletionTokensDetails(Struct):
    """How the answer's tokens divide."""

    reasoning_tokens: int = 0


class CompletionUsage(Struct):
    """Token counts; `prompt_tokens` includes those read from the cache."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class FunctionCallDelta(Struct, omit_defaults=True):
    """What a chunk adds to a call: first the name, then pieces of the arguments."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallDelta(Struct, omit_defaults=True, kw_only=True):
    """What a chunk adds to the call number `index`; the first names it."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionCallDelta


class ChoiceDelta(Struct, omit_defaults=True):
    """What a chunk adds to the answer."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The one choice of a chunk."""

    index: int = 0
    delta: ChoiceDelta
    logprobs: None = None
    finish_reason: FinishReason | None = None


class SessionInfo(Struct):
    """Of the Claude Code session that answered; `cost_usd` is the turn's."""

    id: str
    cost_usd: float | None = None


class ChatCompletionChunk(Struct, kw_only=True):
    """One event of a streamed answer.

    `usage` and `session` are in the last chunk if the request asks for them; then
    `usage` is null in the others.
    """

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | UnsetType | None = UNSET
    session: SessionInfo | UnsetType = UNSET


class ChatCompletionMessage(Struct, kw_only=True):
    """The whole answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET
    refusal: str | None = None


class Choice(Struct, kw_only=True):
    """The one choice of a completion."""

    index: int = 0
    message: ChatCompletionMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(Struct, kw_only=True):
    """An answer that was not streamed."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage


class Model(Struct, kw_only=True):
    """A model as `GET /v1/models` lists it; `created` is 0 where unknown."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "anthropic"


class ModelList(Struct, kw_only=True):
    """The answer to `GET /v1/models`."""

    object: str = "list"
    data: list[Model]
