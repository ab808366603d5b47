"""From a conversation to the events of its next turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from ..claude_code.lending import Lease
from ..claude_code.manager import CLIManager
from ..claude_code.protocol import (
    Assistant,
    Message,
    RateLimitEvent,
    Result,
    StreamEvent,
)
from ..claude_code.session import Session
from ..claude_code.session_state import SessionState
from ..claude_code.tools import name_for_cli
from ..claude_code.turns import ContentBlock, Conversation, Turn
from ..claude_code.usage import AccountTo
from ..errors import CLIExited, CLITimeout, GatewayError, InvalidRequest, UpstreamError
from .checks import error_in, tools_error
from .events import Corrected, TurnEvent, TurnMessage
from .progress import Progress, ends_in_calls
from .reader import TurnReader
from .structured import AnswerFilter
from .tool_rules import CallFilter, Mismatch

#: The CLI's messages of a turn, in batches.
Batches = AsyncIterator[list[TurnMessage]]


async def answer(
    manager: CLIManager,
    conversation: Conversation,
    *,
    streamed: bool = True,
    account_to: AccountTo | None = None,
    mismatch: Mismatch | None = None,
) -> AsyncIterator[list[TurnEvent]]:
    """Ask the question of `conversation`; yield the events of the turn in batches.

    The first batch comes when a process is sure to answer, and is empty. Leaving the
    iterator early interrupts the turn.

    Parameters
    ----------
    streamed:
        Whether the client reads the answer while it is written (see `TurnReader`).
    account_to:
        Called with what each turn took once it has ended, which may be later. There is
        more than one if the model is asked again, or if the CLI begins one itself.
    mismatch:
        Checks values against a schema. Needed if a rule of the conversation has one.

    Raises
    ------
    GatewayError
        Any of them; also after the first batches, when the turn fails then.
    """
    if manager.models.loaded:
        manager.models.resolve(conversation.setup.model)
    attempts = _attempts(manager, conversation, account_to, mismatch)
    reader = TurnReader(conversation, streamed=streamed)
    async with aclosing(attempts) as batches:  # type: ignore[type-var]
        async for batch in batches:
            yield [event for message in batch for event in reader.feed(message)]
            if reader.finished:
                return


async def count_tokens(manager: CLIManager, conversation: Conversation) -> int:
    """The number of tokens of `conversation`, by the CLI's own estimate.

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
    asked = replace(conversation, max_output_tokens=None)
    async with manager.acquire(asked, disposable=True) as lease:
        init = await lease.session.seed([Turn("user", asked.question)])
        error = tools_error(init, asked)
        if error is not None:
            raise error
        return await lease.session.context_tokens()


async def _attempts(
    manager: CLIManager,
    conversation: Conversation,
    account_to: AccountTo | None,
    mismatch: Mismatch | None,
) -> Batches:
    """The messages of the turn; it is asked again if its process was of no use."""
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
            # The process may have died or hung while it waited, before anything was
            # answered. But a named session may have the question in its transcript.
            begun = answered if isinstance(error, CLIExited) else ready
            if begun or last_attempt or conversation.session_id:
                raise
        else:
            return


async def _attempt(
    manager: CLIManager,
    conversation: Conversation,
    account_to: AccountTo | None,
    mismatch: Mismatch | None,
) -> Batches:
    async with manager.acquire(conversation) as lease:
        yield []
        rules = _Rules(manager, lease.session, conversation, account_to, mismatch)
        follower = _Follower(manager, lease, conversation)
        async with aclosing(rules.obeyed()) as turn:  # type: ignore[type-var]
            async for batch in turn:
                yield follower.follow(batch)
                if follower.error is not None:
                    raise follower.error
                if follower.ended:
                    return


class _Follower:
    """Follows a turn to its end, and lets the session rest there.

    `ended` is true if the answer ends before the turn: with calls of the client's
    functions. `error` is what the CLI's messages say went wrong.
    """

    def __init__(
        self, manager: CLIManager, lease: Lease, conversation: Conversation
    ) -> None:
        self.ended = False
        self.error: GatewayError | None = None
        self._manager = manager
        self._lease = lease
        self._conversation = conversation
        self._progress = Progress(conversation)

    def follow(self, batch: list[TurnMessage]) -> list[TurnMessage]:
        """`batch` up to the end of the answer, or up to the error."""
        conversation, session = self._conversation, self._lease.session
        for position, message in enumerate(batch):
            error = error_in(message, conversation, stopped=session.stopped)
            if error is not None:
                asked = conversation.setup.model
                self.error = self._manager.models.explained(error, asked)
                return batch[:position]
            if isinstance(message, RateLimitEvent):
                self._manager.rate_limits = message.rate_limit_info
            self._progress.add(message)
            if self._progress.calls and ends_in_calls(message):
                self.ended = True
                self._park()
                return batch[: position + 1]
            if _ended_well(message, session):
                self._lease.position = self._progress.position
        return batch

    def _park(self) -> None:
        """Let the session wait for the results of the calls, if it can take them."""
        session, progress = self._lease.session, self._progress
        if session.calls.has_used(progress.calls):
            # The next request gets another session, in which all ids are unique.
            if self._conversation.session_id:
                raise UpstreamError(
                    "The model's API gave calls an id that was there before "
                    f"({', '.join(map(repr, progress.calls[:5]))}), and Claude Code "
                    "would lose their results in this session. Send the conversation "
                    "without `session_id`.",
                    status=None,
                )
        elif not progress.has_unparsed_calls and session.wait_for_results(
            progress.message_id, progress.calls
        ):
            self._lease.position = progress.position_waiting


class _Rules:
    """Asks a question, and asks again while the answer breaks a rule of the request."""

    def __init__(
        self,
        manager: CLIManager,
        session: Session,
        conversation: Conversation,
        account_to: AccountTo | None,
        mismatch: Mismatch | None,
    ) -> None:
        self._manager = manager
        self._session = session
        self._question = conversation.question
        self._model = conversation.setup.model or ""
        self._account_to = account_to
        tools = frozenset(name_for_cli(tool.name) for tool in conversation.setup.tools)
        rule = conversation.rule
        self._calls = None if rule is None else CallFilter(rule, tools, mismatch)
        self._answer = _answer_filter(conversation, tools, mismatch)

    async def obeyed(self) -> Batches:
        """The messages of the turn, without what breaks a rule."""
        content, unseen = self._question, False
        form, parked = self._answer, self._session.state is SessionState.PARKED
        if form is not None and form.rule.words and not parked:
            # They are not in the client's history, and so not in the digests.
            content = [*content, {"type": "text", "text": form.rule.words}]
            unseen = True
        while True:
            async with aclosing(self._asked(content, unseen=unseen)) as turn:  # type: ignore[type-var]
                async for batch in turn:
                    yield await self._passed(batch)
            correction = self._correction()
            if correction is None:
                return
            corrected, content = correction
            unseen = True
            yield [corrected]

    def _asked(
        self, content: list[ContentBlock], *, unseen: bool
    ) -> AsyncIterator[list[Message]]:
        return self._session.ask(
            content,
            stall_timeout_seconds=self._manager.stall_timeout_seconds,
            turn_timeout_seconds=self._manager.turn_timeout_seconds,
            asked_model=self._model,
            account_to=self._account_to,
            unseen=unseen,
        )

    async def _passed(self, batch: list[Message]) -> list[TurnMessage]:
        passed: list[TurnMessage] = [*batch]
        if self._calls is not None:
            passed = await self._calls_passed(batch, self._calls)
        if self._answer is not None:
            passed = [kept for m in passed for kept in await self._answer.feed(m)]
        return passed

    async def _calls_passed(
        self, batch: list[Message], calls: CallFilter
    ) -> list[TurnMessage]:
        passed: list[TurnMessage] = []
        for message in batch:
            passed += await calls.feed(message)
            if ends_in_calls(message) and calls.refused:
                if calls.all_refused():
                    calls.correct()
                    passed.append(Corrected(parameter=calls.parameter))
                self._session.calls.refuse(calls.refused, calls.reason)
        return passed

    def _correction(self) -> tuple[Corrected, list[ContentBlock]] | None:
        """What to ask after the answer, None if it obeys; raises ConstraintUnmet."""
        calls, form = self._calls, self._answer
        if calls is not None and not calls.satisfied:
            parameter, words = calls.parameter, calls.correct()
        elif form is not None and form.wrong:
            parameter, words = form.parameter, form.correct()
        else:
            return None
        return Corrected(parameter=parameter), [{"type": "text", "text": words}]


def _answer_filter(
    conversation: Conversation, tools: frozenset[str], mismatch: Mismatch | None
) -> AnswerFilter | None:
    rule, structured = conversation.answer_rule, bool(conversation.setup.schema)
    if rule is None:
        return None
    assert mismatch is not None, "a schema needs a checker"
    return AnswerFilter(rule, tools, structured, mismatch, conversation.names.answer)


def _is_answer(message: TurnMessage) -> bool:
    return isinstance(message, StreamEvent | Assistant | Result)


def _ended_well(message: TurnMessage, session: Session) -> bool:
    if not isinstance(message, Result) or message.stop_reason != "end_turn":
        return False
    if session.launch.session_id:
        # What the CLI does in a project or a named session is part of it.
        return not message.is_error
    # If the session has more messages of the model than the client, the CLI has added
    # words of its own, which the client's history does not have.
    seen = 1 + session.calls.count
    return message.num_turns == seen and not session.has_unseen_words
