"""From OpenAI's messages to the turns of a Claude Code session. Pure."""

from __future__ import annotations

import base64
import binascii
import re

from ..claude.turns import ContentBlock, Conversation, Opening, Turn
from ..errors import InvalidRequest
from .types import (
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
    DeveloperMessage,
    ImagePart,
    Part,
    RefusalPart,
    SystemMessage,
    TextPart,
    UserMessage,
)

IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")

_DATA_URI = re.compile(r"data:([\w/+.-]+)(?:;[\w=.-]+)*;base64,", re.IGNORECASE)

# OpenAI's levels and Claude Code's differ at the low end only.
_EFFORTS = {"none": "low", "minimal": "low"}


def conversation_of(request: ChatCompletionRequest, principal: str) -> Conversation:
    """The conversation that `request`, of `principal`, asks to be continued.

    System and developer messages at the start make the system prompt. Later ones
    keep their place, as text of the user's turn: Claude Code has no other way to
    say something to the model in mid-conversation. Neighbouring messages of the
    user make one turn of several blocks; empty messages make none.

    Raises
    ------
    InvalidRequest
        A message cannot be expressed, or there is no question at the end.
    """
    messages = list(request.messages)
    opening = _opening_length(messages)
    system = [
        block["text"]
        for index, message in enumerate(messages[:opening])
        for block in _blocks(message, f"messages[{index}]")
    ]
    turns: list[Turn] = []
    for index, message in enumerate(messages[opening:], start=opening):
        content = _blocks(message, f"messages[{index}]")
        role = "assistant" if isinstance(message, AssistantMessage) else "user"
        if content and role == "user" and turns and turns[-1].role == "user":
            turns[-1].content.extend(content)
        elif content:
            turns.append(Turn("assistant" if role == "assistant" else "user", content))
    if not turns or turns[-1].role != "user":
        raise InvalidRequest(
            "The last of `messages` with any content must be the user's.",
            param="messages",
        )
    limit = request.max_completion_tokens or request.max_tokens
    effort = request.reasoning_effort
    return Conversation(
        Opening(
            model=request.model,
            system=tuple(system),
            effort=_EFFORTS.get(effort, effort) if effort else None,
            principal=principal,
        ),
        history=tuple(turns[:-1]),
        question=turns[-1].content,
        max_output_tokens=_checked_limit(limit),
    )


def _opening_length(messages: list[ChatMessage]) -> int:
    length = 0
    for message in messages:
        if not isinstance(message, SystemMessage | DeveloperMessage):
            return length
        length += 1
    # Nothing but system messages: the last of them is the question.
    return length - 1 if length else 0


def _checked_limit(limit: int | None) -> int | None:
    if limit is not None and limit < 1:
        raise InvalidRequest(
            "`max_completion_tokens` must be at least 1.", param="max_completion_tokens"
        )
    return limit


def _blocks(message: ChatMessage, path: str) -> list[ContentBlock]:
    if not isinstance(
        message, SystemMessage | DeveloperMessage | UserMessage | AssistantMessage
    ):
        raise InvalidRequest(
            f"`{path}`: tool results are not supported yet.", param=path
        )
    if isinstance(message, AssistantMessage) and (
        message.tool_calls or message.function_call
    ):
        raise InvalidRequest(
            f"`{path}`: tool calls are not supported yet.", param=f"{path}.tool_calls"
        )
    if isinstance(message.content, str):
        # The Messages API refuses blank text; nothing is lost by leaving it out.
        return [_text(message.content)] if message.content.strip() else []
    pictures = isinstance(message, UserMessage)
    return [
        block
        for index, part in enumerate(message.content or [])
        for block in _part_blocks(part, f"{path}.content[{index}]", pictures)
    ]


def _part_blocks(part: Part, path: str, pictures: bool) -> list[ContentBlock]:
    if isinstance(part, TextPart):
        return [_text(part.text)] if part.text.strip() else []
    if isinstance(part, RefusalPart):
        return [_text(part.refusal)] if part.refusal.strip() else []
    if isinstance(part, ImagePart) and pictures:
        return [_image(part.image_url.url, f"{path}.image_url.url")]
    allowed = "text and images" if pictures else "text"
    raise InvalidRequest(f"`{path}`: only {allowed} can be sent here.", param=path)


def _text(text: str) -> ContentBlock:
    return {"type": "text", "text": text}


def _image(url: str, path: str) -> ContentBlock:
    match = _DATA_URI.match(url)
    if match is None:
        raise InvalidRequest(
            f"`{path}` must be a data URI, `data:image/png;base64,…`: "
            "the gateway fetches no remote images.",
            param=path,
            code="invalid_image_url",
        )
    media_type = match[1].lower()
    if media_type not in IMAGE_TYPES:
        raise InvalidRequest(
            f"`{path}`: {media_type} is none of {', '.join(IMAGE_TYPES)}.",
            param=path,
            code="invalid_image_format",
        )
    data = url[match.end() :]
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"`{path}`: the image is not valid base64.",
            param=path,
            code="invalid_image",
        ) from None
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}
