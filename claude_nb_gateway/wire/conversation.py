"""From the messages of a request to the conversation that Claude Code is asked. Pure.

Each API turns its messages into `Message` objects and calls `read`. The rest is the
same for all APIs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..claude_code.turns import (
    ContentBlock,
    Conversation,
    FieldNames,
    Role,
    Setup,
    Turn,
)
from ..errors import InvalidRequest
from .answer_format import TEXT, AnswerFormat
from .attachments import RemoteImage
from .calls import Call, CallIds, Calls
from .tools import NO_TOOLS, ToolUse

#: The question if the conversation ends with a message of the assistant. The model's
#: API has no other way to continue one.
GO_ON = "Go on from exactly where your last message ends, and repeat nothing of it."

#: The names of the fields of chat completions.
CHAT_NAMES = FieldNames()

# OpenAI has two levels below Claude Code's lowest.
_EFFORTS = {"none": "low", "minimal": "low"}


@dataclass
class Message:
    """A message of a request.

    Parameters
    ----------
    role:
        Who says it; a ``tool`` message is the result of a call.
    content:
        Blocks of the Messages API; an empty message has none.
    path:
        The field with the message, for errors; of a result, that with its call id.
    calls:
        The calls in a message of the assistant.
    calls_path:
        The field with those calls, for errors.
    call_id:
        The id of the call of a result.
    failed:
        Whether that call failed.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: list[ContentBlock]
    path: str
    calls: list[Call] = field(default_factory=list)
    calls_path: str = ""
    call_id: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Reading:
    """What a request asks, after its wire format is read.

    Parameters
    ----------
    conversation:
        The question and its history, still without a principal and a directory.
    images:
        The images to fetch. The conversation has the same block objects.
    schemas:
        The JSON schemas that must be valid: the field and the text of each.
    """

    conversation: Conversation
    images: Sequence[RemoteImage] = ()
    schemas: Sequence[tuple[str, str]] = ()


def read(
    messages: Sequence[Message],
    *,
    model: str | None,
    effort: str | None = None,
    max_output_tokens: int | None = None,
    tools: ToolUse = NO_TOOLS,
    answer: AnswerFormat = TEXT,
    stop: Sequence[str] = (),
    images: Sequence[RemoteImage] = (),
    names: FieldNames = CHAT_NAMES,
) -> Reading:
    """The question that a request asks, with its history.

    System messages at the start become the system prompt; see `_turns` for the others.

    Raises
    ------
    InvalidRequest
        There is no question, or a call has no result, or a result no call.
    """
    count = _leading_system_messages(messages)
    system = [block["text"] for m in messages[:count] for block in m.content]
    turns = _turns(messages[count:])
    if not turns:
        raise InvalidRequest(
            f"`{names.messages}` has no content.", param=names.messages
        )
    if turns[-1].role == "assistant":
        turns.append(Turn("user", [text_block(GO_ON)]))
    conversation = Conversation(
        _setup(model, effort, system, tools, answer),
        history=tuple(turns[:-1]),
        question=turns[-1].content,
        max_output_tokens=max_output_tokens,
        rule=tools.rule,
        answer_rule=answer.rule,
        left_out=(*answer.left_out, *tools.left_out),
        prompt=tuple(system),
        stop=tuple(stop),
        names=replace(names, tools=tools.fields),
    )
    return Reading(conversation, images, [*answer.checked, *tools.checked])


def text_block(text: str) -> ContentBlock:
    """A content block with `text`."""
    return {"type": "text", "text": text}


def text_blocks(text: str | None) -> list[ContentBlock]:
    """The blocks of a text. A blank one has none: the Messages API refuses it."""
    return [text_block(text)] if text and text.strip() else []


def checked_limit(limit: int | None, field: str) -> int | None:
    """`limit`, in tokens; raises InvalidRequest if it is below 1."""
    if limit is not None and limit < 1:
        raise InvalidRequest(f"`{field}` must be at least 1.", param=field)
    return limit


def _setup(
    model: str | None,
    effort: str | None,
    system: Sequence[str],
    tools: ToolUse,
    answer: AnswerFormat,
) -> Setup:
    rules = (*answer.prompt, *([tools.rule.words] if tools.rule else []))
    return Setup(
        model,
        (*system, *rules),
        _EFFORTS.get(effort, effort) if effort else None,
        tools=tools.tools,
        schema=answer.schema,
    )


def _turns(messages: Sequence[Message]) -> list[Turn]:
    """The turns of `messages`.

    A system message becomes text in the user's turn at the same place: Claude Code has
    no other way to tell the model something in the middle. Neighbouring messages of the
    user become one turn. An empty message adds nothing. Results of calls come first in
    the user's turn, in the order of the calls.
    """
    turns: list[Turn] = []
    ids = CallIds()
    calls = Calls((), ids, "")
    for message in messages:
        if message.role == "tool":
            calls.add_result(
                message.call_id,
                message.content,
                failed=message.failed,
                path=message.path,
            )
            continue
        _add(turns, "user", calls.results())
        calls = Calls(message.calls, ids, message.calls_path)
        role: Role = "assistant" if message.role == "assistant" else "user"
        _add(turns, role, message.content + calls.blocks)
    _add(turns, "user", calls.results())
    return turns


def _add(turns: list[Turn], role: Role, content: list[ContentBlock]) -> None:
    if role == "user" and turns and turns[-1].role == "user":
        turns[-1].content.extend(content)
    elif content:
        turns.append(Turn(role, content))


def _leading_system_messages(messages: Sequence[Message]) -> int:
    length = 0
    for message in messages:
        if message.role != "system":
            return length
        length += 1
    # There are only system messages: the last one is the question.
    return length - 1 if length else 0
