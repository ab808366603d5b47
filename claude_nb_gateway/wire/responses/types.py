"""The objects of OpenAI's Responses API, as far as used here.

Field by field as in https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..fields import (
    Name,
    PathText,
    Penalty,
    ReasoningEffort,
    Share,
    Temperature,
)
from .tool_types import (
    AllowedChoice,
    CustomChoice,
    CustomTool,
    CustomToolCallItem,
    CustomToolCallOut,
    HostedCallItem,
    LocalShellCallItem,
    LocalShellCallOut,
    LocalShellTool,
    NamespaceTool,
)


class InputText(Struct, tag="input_text"):
    """Text of the user's or the application's."""

    text: str


class OutputText(Struct, tag="output_text"):
    """Text of the model's."""

    text: str
    annotations: list[Any] = []
    logprobs: list[Any] = []


class Refusal(Struct, tag="refusal"):
    """What the model said when it refused."""

    refusal: str


class InputImage(Struct, tag="input_image"):
    """An image: a data URI, or a remote URL; `file_id` is not supported."""

    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class InputFile(Struct, tag="input_file"):
    """A PDF or a text; only `file_data` is supported."""

    file_data: str | None = None
    filename: PathText | None = None
    file_id: Name | None = None
    file_url: str | None = None


InputContent = InputText | OutputText | Refusal | InputImage | InputFile


class InputMessage(Struct, tag="message"):
    """A message; `type` may be left out."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputContent]


class FunctionCallItem(Struct, tag="function_call", kw_only=True):
    """A call of a function by the model; `arguments` are JSON as text."""

    id: str | None = None
    call_id: str
    name: Name
    namespace: Name | None = None
    arguments: str
    status: str | None = None


class FunctionCallOutput(Struct, tag="function_call_output"):
    """The result of a call."""

    call_id: str
    output: str | list[InputContent]


class CustomToolCallOutput(Struct, tag="custom_tool_call_output"):
    """The result of a call of a custom tool."""

    call_id: str
    output: str | list[InputContent]


class LocalShellCallOutput(Struct, tag="local_shell_call_output", kw_only=True):
    """The output of a command."""

    output: str | list[InputContent]
    call_id: str | None = None
    id: str | None = None


class InputReasoning(Struct, tag="reasoning"):
    """An earlier thought; it is not sent to the model again."""


class ItemReference(Struct, tag="item_reference"):
    """An item of a stored response."""

    id: Name


InputItem = (
    InputMessage
    | FunctionCallItem
    | FunctionCallOutput
    | CustomToolCallItem
    | CustomToolCallOutput
    | LocalShellCallItem
    | LocalShellCallOutput
    | HostedCallItem
    | InputReasoning
    | ItemReference
)


class ResponseFunctionTool(Struct, tag="function"):
    """A function the model may call; `parameters` is a JSON schema."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionChoice(Struct, tag="function"):
    """The model must call this function."""

    name: Name


ResponseToolChoice = (
    Literal["none", "auto", "required"] | FunctionChoice | CustomChoice | AllowedChoice
)


class Reasoning(Struct):
    """How much the model thinks, and whether its thoughts are shown."""

    effort: ReasoningEffort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class PlainText(Struct, tag="text"):
    """The answer is text."""


class JSONObject(Struct, tag="json_object"):
    """The answer is any JSON object."""


class JSONSchemaText(Struct, tag="json_schema", kw_only=True):
    """The answer is JSON of this schema."""

    name: Name
    description: str | None = None
    schema: dict[str, Any]
    strict: bool | None = None


class TextConfig(Struct, omit_defaults=True):
    """What the answer's text is."""

    format: PlainText | JSONObject | JSONSchemaText = msgspec.field(
        default_factory=PlainText
    )
    verbosity: Literal["low", "medium", "high"] | None = None


class ResponseStreamOptions(Struct):
    """What a stream has beside the answer; the gateway obfuscates nothing."""

    include_obfuscation: bool | None = None


class ResponseRequest(Struct):
    """The body of `POST /v1/responses`.

    For what each field does see `wire.responses.request`, for the tools see
    `wire.responses.tools`. The items of `input` are `InputItem`; a message may leave
    its type out.
    """

    input: str | list[dict[str, Any]] | None = None
    model: str | None = None
    instructions: str | None = None
    previous_response_id: Name | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    store: bool | None = None
    background: bool | None = None
    max_output_tokens: int | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: ResponseToolChoice | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, str] | None = None
    include: list[str] | None = None
    conversation: Any = None
    prompt: Any = None
    top_logprobs: int | None = None
    moderation: Any = None
    image: Any = None
    context_management: Any = None
    max_tool_calls: int | None = None
    truncation: Literal["auto", "disabled"] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    access_programs: Any = None
    background_options: Any = None


ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputMessage(Struct, tag="message", kw_only=True):
    """What the model said."""

    id: str
    role: Literal["assistant"] = "assistant"
    status: ItemStatus = "in_progress"
    content: list[OutputText] = []


class SummaryText(Struct, tag="summary_text"):
    """A piece of what the model thought."""

    text: str


class ReasoningItem(Struct, tag="reasoning"):
    """What the model thought."""

    id: str
    summary: list[SummaryText] = []
    status: ItemStatus = "in_progress"


class FunctionCallOut(Struct, tag="function_call", kw_only=True):
    """A call that the model makes; answer it by a `function_call_output`."""

    id: str
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    arguments: str = ""
    status: ItemStatus = "in_progress"


OutputItem = (
    OutputMessage
    | ReasoningItem
    | FunctionCallOut
    | CustomToolCallOut
    | LocalShellCallOut
)


class InputTokensDetails(Struct):
    """How the prompt's tokens divide."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct):
    """How the answer's tokens divide."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct):
    """Token counts; `input_tokens` includes those read from the cache."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(Struct):
    """Why a response failed."""

    code: str
    message: str


class IncompleteDetails(Struct):
    """Why a response is not complete."""

    reason: Literal["max_output_tokens", "content_filter"]


ResponseStatus = Literal[
    "queued", "in_progress", "completed", "incomplete", "failed", "cancelled"
]


class Response(Struct, kw_only=True):
    """A response, started or ended.

    As Open Responses requires, every field is always there, with a default if the
    request has none.
    """

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: ResponseStatus = "in_progress"
    background: bool = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    reasoning: Reasoning = msgspec.field(default_factory=Reasoning)
    store: bool = True
    temperature: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    text: TextConfig = msgspec.field(default_factory=TextConfig)
    tool_choice: ResponseToolChoice = "auto"
    tools: list[ResponseFunctionTool | CustomTool | LocalShellTool | NamespaceTool] = []
    top_p: float = 1.0
    top_logprobs: int = 0
    truncation: Literal["auto", "disabled"] = "disabled"
    usage: ResponseUsage | None = None
    service_tier: str = "default"
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: dict[str, str] = {}


class ResponseDeleted(Struct):
    """The answer to `DELETE /v1/responses/{id}`."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class InputItemList(Struct, kw_only=True):
    """The answer to `GET /v1/responses/{id}/input_items`."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
