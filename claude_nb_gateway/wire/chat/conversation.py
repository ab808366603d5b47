"""From OpenAI's messages to the turns of a Claude Code session. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...claude_code.turns import ContentBlock, Conversation, Opening, Role, Turn
from ...errors import InvalidRequest
from .attachments import file_block, image_block
from .calls import CallIds, Calls
from .structured import SCHEMA, format_of, words_for
from .tools import left_out_of, rule_of, tools_of
from .types import (
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
    DeveloperMessage,
    FilePart,
    FunctionMessage,
    ImagePart,
    ImageURL,
    Part,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)

#: What is asked where the conversation ends with words of the assistant's. The model's
#: API has no other way to have them gone on with.
GO_ON = "Go on from exactly where your last message ends, and repeat nothing of it."

# OpenAI's levels and Claude Code's differ at the low end only.
_EFFORTS = {"none": "low", "minimal": "low"}


def conversation_of(
    request: ChatCompletionRequest,
    principal: str,
    paths: Sequence[str],
    prompt: str = "",
) -> Conversation:
    """The conversation that `request`, of `principal`, asks to be continued.

    `prompt` is its system prompt where it brings none.

    `paths` are the names of its messages for errors: ``messages[0]`` and so on,
    or what they were in a request of another kind.

    System and developer messages at the start make the system prompt. Later ones
    keep their place, as text of the user's turn: Claude Code has no other way to
    say something to the model in mid-conversation. Neighbouring messages of the
    user make one turn of several blocks; empty messages make none. The results of
    tool calls begin the user's turn, in the order of the calls.

    Raises
    ------
    InvalidRequest
        A message cannot be expressed, or there is no question at the end.
    """
    opening = _opening_length(request.messages)
    own = _system(request.messages[:opening], paths)
    system = own or ([prompt] if prompt else [])
    turns = _turns(request.messages, opening, paths)
    if not turns:
        raise InvalidRequest("`messages` has no content.", param="messages")
    if turns[-1].role == "assistant":
        turns.append(Turn("user", [_text(GO_ON)]))
    tools = tools_of(request)
    rule = rule_of(request, tools)
    answer = format_of(request)
    left_out = [f"{SCHEMA}.{keyword}" for keyword in answer.left_out]
    effort = request.reasoning_effort
    return Conversation(
        Opening(
            model=request.model,
            system=(
                *system,
                *words_for(request),
                *([rule.words] if rule else []),
            ),
            effort=_EFFORTS.get(effort, effort) if effort else None,
            principal=principal,
            tools=tools,
            schema=answer.schema,
        ),
        history=tuple(turns[:-1]),
        question=turns[-1].content,
        max_output_tokens=_limit(request),
        rule=rule,
        answer_rule=answer.rule,
        left_out=(*left_out, *left_out_of(tools)),
        prompt=tuple(system),
    )


def images_in(
    request: ChatCompletionRequest, paths: Sequence[str]
) -> Iterator[tuple[str, ImageURL]]:
    """The images of `request`, each with the path of the field that has its URL."""
    for message, path in zip(request.messages, paths, strict=True):
        parts = getattr(message, "content", None)
        for index, part in enumerate(parts if isinstance(parts, list) else []):
            if isinstance(part, ImagePart):
                yield f"{path}.content[{index}].image_url.url", part.image_url


def _system(messages: list[ChatMessage], paths: Sequence[str]) -> list[str]:
    return [
        block["text"]
        for message, path in zip(messages, paths, strict=False)
        for block in _blocks(message, path)
    ]


def _turns(
    messages: list[ChatMessage], opening: int, paths: Sequence[str]
) -> list[Turn]:
    turns: list[Turn] = []
    ids = CallIds()
    calls = Calls((), ids, "")
    for message, path in zip(messages[opening:], paths[opening:], strict=True):
        if isinstance(message, ToolMessage):
            content = _blocks(message, path)
            failed = bool(message.is_error)
            calls.add_result(message.tool_call_id, content, failed=failed, path=path)
            continue
        _add(turns, "user", calls.results())
        made = message.tool_calls if isinstance(message, AssistantMessage) else None
        calls = Calls(made or (), ids, path)
        role: Role = "assistant" if isinstance(message, AssistantMessage) else "user"
        _add(turns, role, _blocks(message, path) + calls.blocks)
    _add(turns, "user", calls.results())
    return turns


def _add(turns: list[Turn], role: Role, content: list[ContentBlock]) -> None:
    if role == "user" and turns and turns[-1].role == "user":
        turns[-1].content.extend(content)
    elif content:
        turns.append(Turn(role, content))


def _opening_length(messages: list[ChatMessage]) -> int:
    length = 0
    for message in messages:
        if not isinstance(message, SystemMessage | DeveloperMessage):
            return length
        length += 1
    # Nothing but system messages: the last of them is the question.
    return length - 1 if length else 0


def _limit(request: ChatCompletionRequest) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        limit: int | None = getattr(request, name)
        if limit is not None and limit < 1:
            raise InvalidRequest(f"`{name}` must be at least 1.", param=name)
        if limit is not None:
            return limit
    return None


def _blocks(message: ChatMessage, path: str) -> list[ContentBlock]:
    if isinstance(message, FunctionMessage) or (
        isinstance(message, AssistantMessage) and message.function_call
    ):
        raise InvalidRequest(
            f"`{path}`: functions in their old form are not supported: use `tools`.",
            param=path,
        )
    return _content_blocks(message.content, f"{path}.content", _kinds(message))


def _kinds(message: ChatMessage) -> tuple[type[Part], ...]:
    # The CLI takes text and images from tools, and cannot attach anything elsewhere.
    if isinstance(message, UserMessage):
        return TextPart, ImagePart, FilePart
    return (TextPart, ImagePart) if isinstance(message, ToolMessage) else (TextPart,)


def _content_blocks(
    content: str | list[Part] | None, path: str, kinds: tuple[type[Part], ...]
) -> list[ContentBlock]:
    if isinstance(content, str):
        # The Messages API refuses blank text; nothing is lost by leaving it out.
        return [_text(content)] if content.strip() else []
    return [
        block
        for index, part in enumerate(content or [])
        for block in _part_blocks(part, f"{path}[{index}]", kinds)
    ]


def _part_blocks(
    part: Part, path: str, kinds: tuple[type[Part], ...]
) -> list[ContentBlock]:
    if isinstance(part, TextPart):
        return [_text(part.text)] if part.text.strip() else []
    if isinstance(part, RefusalPart):
        return [_text(part.refusal)] if part.refusal.strip() else []
    if isinstance(part, ImagePart) and ImagePart in kinds:
        return [image_block(part.image_url.url, f"{path}.image_url.url")]
    if isinstance(part, FilePart) and FilePart in kinds:
        return [file_block(part.file, f"{path}.file")]
    names = {TextPart: "text", ImagePart: "images", FilePart: "files"}
    allowed = " and ".join(names[kind] for kind in kinds)
    raise InvalidRequest(f"`{path}`: only {allowed} can be sent here.", param=path)


def _text(text: str) -> ContentBlock:
    return {"type": "text", "text": text}
