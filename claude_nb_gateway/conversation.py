"""From a conversation to the messages of its next turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from .claude.failures import failure, hopeless
from .claude.manager import CLIManager
from .claude.protocol import Message, Result, System
from .claude.turns import Conversation
from .errors import GatewayError


async def answer(
    manager: CLIManager, conversation: Conversation
) -> AsyncIterator[list[Message]]:
    """Ask `conversation`'s question; yield the CLI's messages in batches.

    Leaving the iterator early interrupts the turn.

    Raises
    ------
    GatewayError
        Any of them; also after the first batches, when the turn fails then.
    """
    if manager.models.loaded:
        manager.models.resolve(conversation.model)
    async with manager.session() as session:
        await manager.initialize(session, conversation.system)
        await session.apply_settings(
            model=manager.models.resolve(conversation.model),
            effort=conversation.effort,
            max_output_tokens=conversation.max_output_tokens,
        )
        await session.seed(conversation.history)
        turn = session.ask(
            conversation.question,
            stall_timeout_seconds=manager.stall_timeout_seconds,
            turn_timeout_seconds=manager.turn_timeout_seconds,
        )
        async with aclosing(turn):  # type: ignore[type-var]
            async for batch in turn:
                for position, message in enumerate(batch):
                    error = _failure(message)
                    if error is not None:
                        yield batch[:position]
                        raise error
                yield batch


def _failure(message: Message) -> GatewayError | None:
    if isinstance(message, System):
        return hopeless(message)
    if isinstance(message, Result) and message.is_error:
        # A refusal is an answer, of its own kind.
        return None if message.stop_reason == "refusal" else failure(message)
    return None
