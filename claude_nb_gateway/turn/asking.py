"""From a conversation to the messages of its next turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

from ..claude_code.failures import failure, unrecoverable
from ..claude_code.manager import CLIManager, Lease
from ..claude_code.protocol import (
    STRUCTURED_OUTPUT,
    Assistant,
    Message,
    MessageDelta,
    RateLimitEvent,
    Result,
    StreamEvent,
    System,
)
from ..claude_code.session import Session
from ..claude_code.tools import is_unparsed, name_for_cli, ungranted_tools
from ..claude_code.turns import (
    BETWEEN_MESSAGES,
    ContentBlock,
    Conversation,
    Setup,
    digest_after,
    digest_waiting,
)
from ..claude_code.usage import TurnAccount
from ..errors import (
    CLIExited,
    CLITimeout,
    GatewayError,
    InvalidRequest,
    ProtocolError,
    TurnAborted,
    UpstreamError,
    quoted,
)
from .events import Corrected, TurnMessage
from .structured import AnswerFilter
from .tool_rules import CallFilter, Mismatch


async def answer(
    manager: CLIManager,
    conversation: Conversation,
    account_to: Callable[[TurnAccount], None] | None = None,
    mismatch: Mismatch | None = None,
) -> AsyncIterator[list[TurnMessage]]:
    """Ask `conversation`'s question; yield the CLI's messages in batches.

    The first batch is empty: it comes when a process is sure to answer.

    The session that it names is continued, or one that stands where the question
    begins; another gets the history first. Leaving the iterator early interrupts the
    turn. What the turn took is told to `account_to` once it has ended, which may be
    later. `mismatch` is needed where a rule of the conversation has a schema.

    Raises
    ------
    GatewayError
        Any of them; also after the first batches, when the turn fails then.
    """
    if manager.models.loaded:
        manager.models.resolve(conversation.setup.model)
    for last_attempt in (False, True):
        ready = answered = False
        try:
            attempt = _attempt(manager, conversation, account_to, mismatch)
            async with aclosing(attempt) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    ready = True
                    answered = answered or any(map(_is_answer, batch))
                    yield batch
        except (CLIExited, CLITimeout) as error:
            # It may have died long ago, or hang, waiting: nobody is told anything yet.
            # Its question may be in the transcript of a named session already.
            begun = answered if isinstance(error, CLIExited) else ready
            if begun or last_attempt or conversation.session_id:
                raise
        else:
            return


async def count_tokens(manager: CLIManager, conversation: Conversation) -> int:
    """How many tokens `conversation` has, by the CLI's own estimate.

    The model is not asked. Raises GatewayError.
    """
    if manager.models.loaded:
        manager.models.resolve(conversation.setup.model)
    if conversation.session_id:
        raise InvalidRequest(
            "`session_id`: The tokens of a session cannot be counted: leave it out.",
            param="session_id",
            code="unsupported_parameter",
        )
    async with manager.session(conversation.setup, [], recorded=False) as lease:
        session = lease.session
        await manager.open(session, conversation.setup, None)
        await session.seed(conversation.turns)
        error = _mislisted(session.seeded_with, conversation)
        if error is not None:
            raise error
        return await session.context_tokens()


async def _attempt(
    manager: CLIManager,
    conversation: Conversation,
    account_to: Callable[[TurnAccount], None] | None,
    mismatch: Mismatch | None,
) -> AsyncIterator[list[TurnMessage]]:
    async with _lent(manager, conversation) as lease:
        session = lease.session
        session.account_to = account_to
        limit = conversation.max_output_tokens
        await manager.open(session, conversation.setup, limit)
        if not conversation.session_id:
            await session.seed(conversation.history[lease.turns_held :])
        yield []
        turn = _obeying(manager, session, conversation, mismatch)
        setup = conversation.setup
        tools = {name_for_cli(tool.name) for tool in setup.tools}
        said = _Said(tools, paragraphs=conversation.has_own_turns)
        async with aclosing(turn):  # type: ignore[type-var]
            async for batch in turn:
                for position, message in enumerate(batch):
                    error = _failure(message, session, conversation)
                    error = error or _mislisted(message, conversation)
                    if error is not None:
                        yield batch[:position]
                        asked = conversation.setup.model
                        raise manager.models.explained(error, asked)
                    if isinstance(message, RateLimitEvent):
                        manager.rate_limits = message.rate_limit_info
                    said.add(message)
                    if said.calls and _ends_in_calls(message):
                        if session.has_used(said.calls):
                            # Asked again from the start, all ids are unique.
                            _check_can_begin_anew(conversation, said)
                        elif not any(map(is_unparsed, said.blocks)):
                            session.wait_for_results(said.message_id, said.calls)
                            after = _stands_at(conversation, said)
                            words = conversation.passing_words
                            lease.stands_at = digest_waiting(after, words)
                        yield batch[: position + 1]
                        return
                    if _ended_well(message, session):
                        lease.stands_at = _stands_at(conversation, said)
                yield batch


async def _obeying(
    manager: CLIManager,
    session: Session,
    conversation: Conversation,
    mismatch: Mismatch | None,
) -> AsyncIterator[list[TurnMessage]]:
    """The turn's messages, with nothing in them that breaks a rule."""
    rule, content = conversation.rule, conversation.question
    tools = {name_for_cli(tool.name) for tool in conversation.setup.tools}
    calls = None if rule is None else CallFilter(rule, frozenset(tools), mismatch)
    form = _answer_filter(conversation, frozenset(tools), mismatch)
    if form is not None and form.rule.words and not session.waiting:
        # The client's history knows nothing of it, and so neither do the digests.
        content = [*content, {"type": "text", "text": form.rule.words}]
        session.corrected = True
    while True:
        turn = session.ask(
            content,
            stall_timeout_seconds=manager.stall_timeout_seconds,
            turn_timeout_seconds=manager.turn_timeout_seconds,
        )
        async with aclosing(turn):  # type: ignore[type-var]
            async for batch in turn:
                passed: list[TurnMessage] = [*batch]
                if calls is not None:
                    passed = await _obeying_calls(batch, calls, session)
                if form is not None:
                    passed = [said for m in passed for said in await form.feed(m)]
                yield passed
        if calls is not None and not calls.satisfied:
            parameter, words = calls.parameter, calls.correct()
        elif form is not None and form.wrong:
            parameter, words = form.parameter, form.correct()
        else:
            return
        yield [Corrected(parameter=parameter)]
        session.corrected = True
        content = [{"type": "text", "text": words}]


async def _obeying_calls(
    batch: list[Message], calls: CallFilter, session: Session
) -> list[TurnMessage]:
    passed: list[TurnMessage] = []
    for message in batch:
        passed += await calls.feed(message)
        if _ends_in_calls(message) and calls.refused:
            if calls.all_refused():
                calls.correct()
                passed.append(Corrected(parameter=calls.parameter))
            session.refuse_calls(calls.refused, calls.reason)
    return passed


def _answer_filter(
    conversation: Conversation, tools: frozenset[str], mismatch: Mismatch | None
) -> AnswerFilter | None:
    rule, structured = conversation.answer_rule, bool(conversation.setup.schema)
    if rule is None:
        return None
    assert mismatch is not None, "a schema needs somebody to check it"
    return AnswerFilter(rule, tools, structured, mismatch, conversation.names.answer)


def _is_answer(message: TurnMessage) -> bool:
    return isinstance(message, StreamEvent | Assistant | Result)


class _Said:
    """What the client is told of an answer: its words, and the calls of `tools`.

    `message_id` is the model's message that said something last.
    """

    def __init__(self, tools: set[str], *, paragraphs: bool) -> None:
        self.blocks: list[ContentBlock] = []
        self.calls: list[str] = []
        self.message_id = ""
        self._tools = tools
        self._paragraphs = paragraphs

    def add(self, message: TurnMessage) -> None:
        """Take in what `message` adds."""
        if not isinstance(message, Assistant) or message.parent_tool_use_id is not None:
            return
        for block in message.message.content:
            if block["type"] == "tool_use":
                if block["name"] not in self._tools:
                    continue
                self.calls.append(block["id"])
            elif block["type"] == "text" and self._goes_on(message.message.id):
                self.blocks.append({"type": "text", "text": BETWEEN_MESSAGES})
            self.message_id = message.message.id
            self.blocks.append(block)

    def _goes_on(self, message_id: str) -> bool:
        told = any(block["type"] == "text" for block in self.blocks)
        return told and self._paragraphs and message_id != self.message_id


def _stands_at(conversation: Conversation, said: _Said) -> bytes:
    if conversation.session_id:
        # Its client may have sent less than all, so only the id leads there.
        return b"session " + conversation.session_id.encode()
    *_, asked = conversation.digests()
    return digest_after(asked, said.blocks)


def _check_can_begin_anew(conversation: Conversation, said: _Said) -> None:
    if conversation.session_id:
        raise UpstreamError(
            "The model's API gave calls an id that was there before "
            f"({', '.join(map(repr, said.calls[:5]))}), and Claude Code would lose "
            "their results in this session. Send the conversation without "
            "`session_id`.",
            status=None,
        )


def _lent(
    manager: CLIManager, conversation: Conversation
) -> AbstractAsyncContextManager[Lease]:
    if conversation.session_id:
        return manager.named_session(conversation)
    return manager.session(conversation.setup, conversation.held_by())


def _ends_in_calls(message: TurnMessage) -> bool:
    return (
        isinstance(message, StreamEvent)
        and message.parent_tool_use_id is None
        and isinstance(message.event, MessageDelta)
        and message.event.delta.stop_reason == "tool_use"
    )


def _ended_well(message: TurnMessage, session: Session) -> bool:
    if not isinstance(message, Result) or message.stop_reason != "end_turn":
        return False
    if session.launch.session_id:
        # What the CLI does in a project or a named session is part of it.
        return not message.is_error
    # With more messages of the model in it than the client has seen, the CLI has put
    # in words of its own, which the client's history does not have.
    return message.num_turns == 1 + session.calls and not session.corrected


def _mislisted(
    message: TurnMessage | None, conversation: Conversation
) -> GatewayError | None:
    """What is wrong with the tools that the CLI lists, if `message` lists them."""
    if not isinstance(message, System) or message.subtype != "init":
        return None
    listed = frozenset(message.tools or [])
    return _left_out(listed, conversation) or _ungranted(listed, conversation.setup)


def _left_out(
    listed: frozenset[str], conversation: Conversation
) -> GatewayError | None:
    setup, names = conversation.setup, conversation.names
    # The CLI says nothing of a schema that it cannot use: the tool is just not there.
    if setup.schema and STRUCTURED_OUTPUT not in listed:
        return InvalidRequest(
            f"`{names.answer}`: the Claude Code CLI cannot use this schema.",
            param=names.answer,
        )
    for index, tool in enumerate(setup.tools):
        if name_for_cli(tool.name) not in listed:
            where = names.of_tool(index)
            return InvalidRequest(
                f"`{where}`: the Claude Code CLI cannot use the tool "
                f"{quoted(tool.name)} with this schema, and would leave it out.",
                param=where,
            )
    return None


def _ungranted(listed: frozenset[str], setup: Setup) -> GatewayError | None:
    beyond = ungranted_tools(listed, setup)
    if not beyond:
        return None
    return ProtocolError(
        "The Claude Code CLI gave the model tools that this request may not use, so "
        "the turn was stopped; the server's log names them.",
        detail=f"tools beyond those granted: {', '.join(sorted(beyond))}",
    )


def _failure(
    message: TurnMessage, session: Session, conversation: Conversation
) -> GatewayError | None:
    if isinstance(message, System):
        return unrecoverable(message)
    if isinstance(message, Result) and message.is_error:
        if message.was_interrupted:
            # Only if somebody wanted it to end here is this the answer.
            return None if session.stopped else TurnAborted()
        if message.stop_reason == "refusal":
            return None  # which is an answer, of its own kind
        return failure(message, conversation.names.messages)
    return None
