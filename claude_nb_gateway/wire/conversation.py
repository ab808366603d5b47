"""From what a request says to the conversation that is asked. Pure.

Each API turns its own messages into `Message`, and what else it has into the arguments
of `read`. What follows from that is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..claude_code.turns import (
    ContentBlock,
    Conversation,
    FieldNames,
    Opening,
    Role,
    Turn,
)
from ..errors import InvalidRequest
from .answer_format import TEXT, AnswerFormat
from .attachments import RemoteImage
from .calls import Call, CallIds, Calls
from .tools import NO_TOOLS, ToolUse

#: What is asked where the conversation ends with words of the assistant's. The model's
#: API has no other way to have them gone on with.
GO_ON = "Go on from exactly where your last message ends, and repeat nothing of it."

#: What chat completions call their fields.
CHAT_NAMES = FieldNames()

# OpenAI's levels and Claude Code's differ at the low end only.
_EFFORTS = {"none": "low", "minimal": "low"}


@dataclass
class Message:
    """A message of a request.

    Parameters
    ----------
    role:
        Who says it; ``tool`` is the result of a call.
    content:
        Blocks of the Messages API; none for an empty message.
    path:
        The message's name for errors; for a result that of the call's id.
    calls:
        The calls that the assistant makes.
    calls_path:
        The field that those are in, for errors.
    call_id:
        The call that this is the result of.
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
    """A request that has been read.

    Parameters
    ----------
    conversation:
        What is asked. Its principal and its directory are not known yet.
    images:
        What is still to be fetched; the conversation holds the same blocks.
    schemas:
        The JSON schemas that something is checked against: the field of each, and it
        as text.
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
    """The conversation that a request asks to be continued.

    System messages at the start make the system prompt; see `_turns` for the others.

    Raises
    ------
    InvalidRequest
        There is no question, or calls and results do not fit each other.
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
        _opening(model, effort, system, tools, answer),
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
    """The blocks of a text: none where it is blank, which the Messages API refuses."""
    return [text_block(text)] if text and text.strip() else []


def checked_limit(limit: int | None, field: str) -> int | None:
    """Where the answer is cut off, in tokens; raises InvalidRequest below 1."""
    if limit is not None and limit < 1:
        raise InvalidRequest(f"`{field}` must be at least 1.", param=field)
    return limit


def _opening(
    model: str | None,
    effort: str | None,
    system: Sequence[str],
    tools: ToolUse,
    answer: AnswerFormat,
) -> Opening:
    rules = (*answer.prompt, *([tools.rule.words] if tools.rule else []))
    return Opening(
        model,
        (*system, *rules),
        _EFFORTS.get(effort, effort) if effort else None,
        tools=tools.tools,
        schema=answer.schema,
    )


def _turns(messages: Sequence[Message]) -> list[Turn]:
    """The turns that `messages` make.

    System messages keep their place, as text of the user's turn: Claude Code has no
    other way to say something to the model in mid-conversation. Neighbouring messages
    of the user make one turn of several blocks; empty messages make none. The results
    of calls begin the user's turn, in the order of the calls.
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
    # Nothing but system messages: the last of them is the question.
    return length - 1 if length else 0
