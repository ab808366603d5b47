"""From a conversation to the messages of its next turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from .claude.failures import failure, hopeless
from .claude.manager import CLIManager
from .claude.protocol import Assistant, Message, Result, StreamEvent, System
from .claude.turns import Conversation, digest_after
from .errors import CLIExited, GatewayError


async def answer(
    manager: CLIManager, conversation: Conversation
) -> AsyncIterator[list[Message]]:
    """Ask `conversation`'s question; yield the CLI's messages in batches.

    A session that stands where the question begins is continued; another gets the
    history first. Leaving the iterator early interrupts the turn.

    Raises
    ------
    GatewayError
        Any of them; also after the first batches, when the turn fails then.
    """
    if manager.models.loaded:
        manager.models.resolve(conversation.opening.model)
    for last_attempt in (False, True):
        answered = False
        try:
            async with aclosing(_attempt(manager, conversation)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    answered = answered or any(map(_is_answer, batch))
                    yield batch
        except CLIExited:
            # It may have died long ago, waiting: nobody is told anything yet.
            if answered or last_attempt:
                raise
        else:
            return


async def _attempt(
    manager: CLIManager, conversation: Conversation
) -> AsyncIterator[list[Message]]:
    *before, asked = conversation.digests()
    async with manager.session(conversation.opening, before) as lease:
        session = lease.session
        limit = conversation.max_output_tokens
        await manager.open(session, conversation.opening, limit)
        await session.seed(conversation.history[lease.turns_held :])
        turn = session.ask(
            conversation.question,
            stall_timeout_seconds=manager.stall_timeout_seconds,
            turn_timeout_seconds=manager.turn_timeout_seconds,
        )
        text = ""
        async with aclosing(turn):  # type: ignore[type-var]
            async for batch in turn:
                for position, message in enumerate(batch):
                    error = _failure(message)
                    if error is not None:
                        yield batch[:position]
                        raise error
                    text += _text(message)
                    if _ended_well(message):
                        lease.stands_at = digest_after(asked, text)
                yield batch


def _is_answer(message: Message) -> bool:
    return isinstance(message, StreamEvent | Assistant | Result)


def _text(message: Message) -> str:
    if not isinstance(message, Assistant) or message.parent_tool_use_id is not None:
        return ""
    return "".join(block.get("text", "") for block in message.message.content)


def _ended_well(message: Message) -> bool:
    # With several model messages in it the CLI has put in words of its own, which
    # the client's history does not have.
    return (
        isinstance(message, Result)
        and message.stop_reason == "end_turn"
        and message.num_turns == 1
    )


def _failure(message: Message) -> GatewayError | None:
    if isinstance(message, System):
        return hopeless(message)
    if isinstance(message, Result) and message.is_error:
        # A refusal is an answer, of its own kind.
        return None if message.stop_reason == "refusal" else failure(message)
    return None
