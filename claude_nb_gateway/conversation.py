"""From a conversation to the messages of its next turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from .claude.failures import failure, hopeless
from .claude.manager import CLIManager
from .claude.protocol import (
    STRUCTURED_OUTPUT,
    Assistant,
    Message,
    MessageDelta,
    RateLimitEvent,
    Result,
    StreamEvent,
    System,
    Unknown,
)
from .claude.session import Session
from .claude.tools import is_unparsed, name_for_cli
from .claude.turns import ContentBlock, Conversation, digest_after, digest_waiting
from .constraints import CallFilter
from .errors import CLIExited, GatewayError, InvalidRequest


class Corrected(Unknown):
    """Among the CLI's messages: the model had to be told again what is asked."""

    raw: dict[str, Any] = {}
    parameter: str = ""


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


async def count_tokens(manager: CLIManager, conversation: Conversation) -> int:
    """How many tokens `conversation` has, by the CLI's own estimate.

    The model is not asked. Raises GatewayError.
    """
    if manager.models.loaded:
        manager.models.resolve(conversation.opening.model)
    async with manager.session(conversation.opening, []) as lease:
        session = lease.session
        await manager.open(session, conversation.opening, None)
        await session.seed(conversation.turns)
        return await session.context_tokens()


async def _attempt(
    manager: CLIManager, conversation: Conversation
) -> AsyncIterator[list[Message]]:
    *_, asked = conversation.digests()
    held = conversation.held_by()
    async with manager.session(conversation.opening, held) as lease:
        session = lease.session
        limit = conversation.max_output_tokens
        await manager.open(session, conversation.opening, limit)
        await session.seed(conversation.history[lease.turns_held :])
        turn = _obeying(manager, session, conversation)
        said: list[ContentBlock] = []
        schema = conversation.opening.schema
        callers: list[str] = []
        tools = {name_for_cli(tool.name) for tool in conversation.opening.tools}
        async with aclosing(turn):  # type: ignore[type-var]
            async for batch in turn:
                for position, message in enumerate(batch):
                    error = _failure(message) or _refused_schema(message, schema)
                    if error is not None:
                        yield batch[:position]
                        raise error
                    if isinstance(message, RateLimitEvent):
                        manager.rate_limits = message.rate_limit_info
                    said += _blocks(message)
                    callers += _callers(message, tools)
                    if callers and _ends_in_calls(message):
                        if not any(map(is_unparsed, said)):
                            session.wait_for_results(callers[-1], len(callers))
                            after = digest_after(asked, said)
                            lease.stands_at = digest_waiting(after)
                        yield batch[: position + 1]
                        return
                    if _ended_well(message, session):
                        lease.stands_at = digest_after(asked, said)
                yield batch


async def _obeying(
    manager: CLIManager, session: Session, conversation: Conversation
) -> AsyncIterator[list[Message]]:
    """The turn's messages, with nothing in them that breaks the rule for calls."""
    rule, content = conversation.rule, conversation.question
    tools = {name_for_cli(tool.name) for tool in conversation.opening.tools}
    calls = None if rule is None else CallFilter(rule, frozenset(tools))
    while True:
        turn = session.ask(
            content,
            stall_timeout_seconds=manager.stall_timeout_seconds,
            turn_timeout_seconds=manager.turn_timeout_seconds,
        )
        async with aclosing(turn):  # type: ignore[type-var]
            async for batch in turn:
                if calls is None:
                    yield batch
                    continue
                passed: list[Message] = []
                for message in batch:
                    passed += calls.feed(message)
                    if _ends_in_calls(message) and calls.refused:
                        if calls.all_refused():
                            calls.correct()
                            passed.append(Corrected(parameter=calls.parameter))
                        session.refuse_calls(calls.refused, calls.reason)
                yield passed
        if calls is None or calls.satisfied:
            return
        calls.correct()
        yield [Corrected(parameter=calls.parameter)]
        session.corrected = True
        content = [{"type": "text", "text": calls.rule.words}]


def _is_answer(message: Message) -> bool:
    return isinstance(message, StreamEvent | Assistant | Result)


def _blocks(message: Message) -> list[ContentBlock]:
    if not isinstance(message, Assistant) or message.parent_tool_use_id is not None:
        return []
    return message.message.content


def _callers(message: Message, tools: set[str]) -> list[str]:
    """For each call of one of `tools` the id of the model's message that it is in."""
    if not isinstance(message, Assistant):
        return []
    blocks = [block for block in _blocks(message) if block.get("name") in tools]
    return [message.message.id] * len(blocks)


def _ends_in_calls(message: Message) -> bool:
    return (
        isinstance(message, StreamEvent)
        and message.parent_tool_use_id is None
        and isinstance(message.event, MessageDelta)
        and message.event.delta.stop_reason == "tool_use"
    )


def _ended_well(message: Message, session: Session) -> bool:
    # With more messages of the model in it than the client has seen, the CLI has put
    # in words of its own, which the client's history does not have.
    return (
        isinstance(message, Result)
        and message.stop_reason == "end_turn"
        and message.num_turns == 1 + session.calls
        and not session.corrected
    )


def _refused_schema(message: Message, schema: str) -> GatewayError | None:
    # The CLI says nothing of a schema that it cannot use: the tool is just not there.
    if not schema or not isinstance(message, System) or message.subtype != "init":
        return None
    if STRUCTURED_OUTPUT in (message.tools or []):
        return None
    return InvalidRequest(
        "`response_format`: the Claude Code CLI cannot use this schema.",
        param="response_format",
    )


def _failure(message: Message) -> GatewayError | None:
    if isinstance(message, System):
        return hopeless(message)
    if isinstance(message, Result) and message.is_error:
        # A refusal is an answer, of its own kind.
        return None if message.stop_reason == "refusal" else failure(message)
    return None
