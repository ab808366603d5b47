"""One Claude Code session on one process: set it up, ask, stop, end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable

from .. import metrics
from ..errors import CLIExited, GatewayError, ProtocolError
from . import protocol
from .calls import ClientCalls
from .channel import Channel
from .process import CLIProcess
from .profile import PLAIN, Launch
from .property_names import CallTranslator
from .protocol import Json, Message
from .question import Belongs, Question, is_init
from .session_state import SessionState
from .tools import (
    call_in,
    handshake_response,
    initialize_fields,
    long_descriptions,
    name_for_cli,
)
from .turn_settings import TurnSettings
from .turns import Setup, Turn, calls_in
from .usage import AccountTo, UsageMeter, account_of, outcome_of

_INTERRUPT = {"subtype": "interrupt"}


class Session:
    """A conversation on `process`; runs one turn at a time.

    Parameters
    ----------
    process:
        A started process that has no listener.
    launch:
        How it was started.
    control_timeout_seconds:
        Maximum time that the CLI takes to answer a control request, or to take in a
        turn of the history.
    on_lost:
        Called with the session when its process is gone, for whatever reason.

    Attributes
    ----------
    state : SessionState
        Only the session changes it.
    setup : Setup or None
        What it is bound to; None as long as it is new.
    calls : ClientCalls
        The calls of the client's functions.
    stopped : bool
        Whether `stop` or `wind_down` was called.
    has_unseen_words : bool
        Whether something was said in it that its client does not know of.
    had_unasked_turn : bool
        Whether the CLI began a turn by itself. The session then holds more than was
        asked.
    """

    def __init__(
        self,
        process: CLIProcess,
        *,
        launch: Launch = PLAIN,
        control_timeout_seconds: float,
        on_lost: Callable[[Session], None] = lambda session: None,
    ) -> None:
        self.process = process
        self.launch = launch
        self.state = SessionState.NEW
        self.setup: Setup | None = None
        self.stopped = False
        self.has_unseen_words = False
        self.had_unasked_turn = False
        self._on_lost = on_lost
        self._channel = Channel(
            process,
            control_timeout_seconds=control_timeout_seconds,
            on_message=self._sort,
            on_request=self._answer_request,
            on_lost=self._lost,
        )
        self.calls = ClientCalls(self._channel.reply)
        self._question = Question()
        self._settings = TurnSettings(launch)
        self._translator = CallTranslator({})
        self._known_messages: set[str] = set()
        self._meter = UsageMeter()
        self._account_to: AccountTo | None = None
        self._asked_model = ""
        self._unusable: GatewayError | None = None
        # When the running turn was asked, and when the running unasked turn began.
        self._asked_at: float | None = None
        self._unasked_since: float | None = None
        self._channel.listen()

    @property
    def at_rest(self) -> bool:
        """Whether its conversation can go on here later."""
        resting = self.state in (SessionState.READY, SessionState.PARKED)
        return resting and not self.stopped and self.process.alive

    @property
    def unread(self) -> int:
        """Number of messages that wait for the reader of the turn."""
        return len(self._channel.inbox)

    def fits(self, setup: Setup | None) -> bool:
        """Whether a turn with `setup` can be asked here; None is no setup yet.

        Its model and its effort can be others: they change from turn to turn.
        """
        if self.setup is None:
            return True
        return setup is not None and self.setup.binding == setup.binding

    def knows(self, message_id: str) -> bool:
        """Whether its process has the message of the transcript with this id."""
        return message_id in self._known_messages

    def remember(self, message_id: str) -> None:
        """Note that its process has read the message from the transcript."""
        self._known_messages.add(message_id)

    def abandon(self, error: GatewayError) -> None:
        """End the running turn with `error` for its reader; no other can be asked."""
        self._unusable = self._unusable or error
        self._channel.abandon(error)

    async def started(self) -> None:
        """Wait until the process has started (see `Channel.started`)."""
        await self._channel.started()

    async def warm_up(self) -> None:
        """Wait until the process has started, with a question to the CLI alone.

        Not any question will do: for some, `get_context_usage` above all, it sends
        requests to the model's API.
        """
        with contextlib.suppress(ProtocolError):
            await self.control("mcp_status")

    async def rehearse(self) -> bool:
        """Let the CLI load what a first turn needs; nothing reaches the model's API.

        A user turn is recorded and taken back, before there is another one. Returns
        whether it is forgotten. If not, the session is of no use.
        """
        turn = protocol.user_message("…", query=False)
        await self._send_question(turn)
        await self._channel.result("answer to a rehearsal")
        own = turn["uuid"]
        try:
            answer = await self.control(
                "rewind_conversation",
                target_message_uuid=own,
                last_seen_user_message_uuid=own,
            )
        except ProtocolError:
            return False
        return answer.get("rewound") is True and not answer.get(
            "precedingAssistantUuid"
        )

    async def initialize(self, setup: Setup) -> Json:
        """Bind a new session to `setup`.

        Returns the CLI's description of itself: ``models``, ``account``, …
        An empty prompt is sent as one: without it the CLI would use its own. In a
        project it does, and adds the prompt to it.
        """
        self._enter(SessionState.SETTING_UP)
        prompt = [*setup.system, *long_descriptions(setup.tools)]
        self.setup = setup
        self._translator = CallTranslator(
            {name_for_cli(tool.name): tool.renamed for tool in setup.tools}
        )
        fields = initialize_fields(setup.tools)
        if setup.schema:
            fields["jsonSchema"] = json.loads(setup.schema)
        if not setup.profile.directory:
            fields["systemPrompt"] = prompt or [""]
        elif prompt:
            fields["appendSystemPrompt"] = "\n\n".join(prompt)
        about = await self.control("initialize", **fields)
        self._enter(SessionState.READY)
        return about

    async def apply_settings(
        self,
        *,
        model: str | None = None,
        effort: str | None = None,
        max_output_tokens: int | None = None,
    ) -> None:
        """Choose what the next turn runs with (see `TurnSettings.apply`)."""
        await self._settings.apply(
            self.control,
            model=model,
            effort=effort,
            max_output_tokens=max_output_tokens,
        )

    async def seed(self, history: Iterable[Turn]) -> protocol.System | None:
        """Record `history` as real turns, in order, without asking anything.

        Returns what the CLI says of itself at the start of the last turn: its tools, …
        """
        init = None
        for turn in history:
            if turn.role == "assistant":
                content = self._translator.for_model(turn.content)
                self.calls.seed(calls_in(content))
                await self._channel.send(protocol.assistant_message(content))
                continue
            # The CLI keeps the order only if each of them is waited for.
            await self._send_question(protocol.user_message(turn.content, query=False))
            _, before = await self._channel.result("answer to history")
            for message in before:
                if isinstance(message, protocol.System) and is_init(message):
                    init = message
        return init

    async def context_tokens(self) -> int:
        """The number of tokens of the conversation so far.

        The CLI asks the model's API for it, in several ``count_tokens`` requests.
        """
        usage = await self.control("get_context_usage")
        return int(usage.get("totalTokens", 0))

    async def ask(
        self,
        content: list[Json],
        *,
        stall_timeout_seconds: float,
        turn_timeout_seconds: float,
        asked_model: str = "",
        account_to: AccountTo | None = None,
        unseen: bool = False,
    ) -> AsyncIterator[list[Message]]:
        """Send a user turn; yield what comes, in batches, up to the `Result`.

        If the session is parked, `content` are the results of its calls, and the turn
        goes on. A turn that the caller leaves before its end goes on: see `wind_down`.
        After `stop` nothing is asked, and the `Result` says that the turn was aborted.
        The cost in the `Result` is that of the turn; the usage is None after calls,
        since the CLI's includes earlier ones. Raises GatewayError.

        Parameters
        ----------
        asked_model:
            The model that the client named, for the account of the turn.
        account_to:
            Called with the account of this turn, and later of the CLI's own turns.
        unseen:
            Whether `content` has words that the client does not know of.
        """
        self._account_to, self._asked_model = account_to, asked_model
        self.has_unseen_words |= unseen
        self._check_usable()
        if self.stopped:
            yield [protocol.Result(is_error=True, terminal_reason="aborted_unasked")]
            return
        await self._send_or_go_on(content)
        deadline = asyncio.get_running_loop().time() + turn_timeout_seconds
        while True:
            batch = await self._channel.inbox.turn_batch(
                deadline,
                stall_timeout_seconds=stall_timeout_seconds,
                turn_seconds=turn_timeout_seconds,
            )
            batch, ended = self._up_to_result(self.calls.after_calls(batch))
            yield self._translator.for_client(batch)
            if ended:
                return

    async def stop(self) -> None:
        """End the turn that runs, or that comes next, with what was said so far.

        Its reader gets a `Result`.
        """
        self.stopped = True
        if self._asked_at is not None:
            await self.control("interrupt")

    def wait_for_results(self, message_id: str, calls: Collection[str]) -> bool:
        """Park the turn after the model's message `message_id` with these `calls`.

        The next `ask` brings their results. Returns whether that is possible: it is not
        if the turn has ended.
        """
        if self.state is not SessionState.ASKING or self._asked_at is None:
            return False
        self._enter(SessionState.PARKED)
        self.calls.wait_for(message_id, calls)
        return True

    async def wind_down(self) -> None:
        """Stop the running turn, if any; wait until it has stopped, if it was asked.

        Nothing can be asked afterwards.
        """
        self.stopped = True
        self._enter(SessionState.ENDING)
        self.calls.forget()
        if self._asked_at is not None:
            await self.control("interrupt")
            await self._channel.result("end of the turn")
        elif self._unasked_since is not None:
            await self.control("interrupt")

    async def control(self, subtype: str, **fields: object) -> Json:
        """Send a control request (see `ControlRequests.send`)."""
        return await self._channel.control.send(subtype, **fields)

    def _enter(self, state: SessionState) -> None:
        if state is not SessionState.ENDING:
            self._check_usable()
        self.state = self.state.to(state)

    def _check_usable(self) -> None:
        if self._unusable is not None:
            raise self._unusable
        if self.state is SessionState.ENDING:
            raise CLIExited(self.process.returncode, self.process.stderr)

    async def _send_or_go_on(self, content: list[Json]) -> None:
        goes_on = self.state is SessionState.PARKED
        self._enter(SessionState.ASKING)
        if goes_on:
            self.calls.answer(content)
            return
        self._asked_at = time.time()
        self.calls.begin_turn()
        question = protocol.user_message(content)
        self.remember(question["uuid"])
        await self._send_question(question)

    async def _send_question(self, question: Json) -> None:
        self._question.sent(question["uuid"])
        await self._channel.send(question)

    def _up_to_result(self, batch: list[Message]) -> tuple[list[Message], bool]:
        for position, message in enumerate(batch, start=1):
            if isinstance(message, protocol.Result):
                message.usage = None if self.calls.count else message.usage
                if self.state is SessionState.ASKING:
                    self._enter(SessionState.READY)
                # What the CLI says after it is not of this turn.
                self._channel.inbox.put_back(batch[position:])
                return batch[:position], True
        return batch, False

    def _lost(self, error: GatewayError) -> None:
        self._unusable = self._unusable or error
        if self._asked_at is not None:
            self._account(protocol.Result(), "lost", self._asked_at)
            self._asked_at = None
        if self._unasked_since is not None:
            self._account(protocol.Result(), "unasked", self._unasked_since)
            self._unasked_since = None
        self._enter(SessionState.ENDING)
        self._on_lost(self)

    def _sort(self, message: Message) -> None:
        """Keep `message` for the reader of the turn, if it belongs to the question.

        Also counts the turn at its end, and remembers which messages the CLI has.
        """
        if isinstance(message, protocol.CommandLifecycle):
            if self._question.note_start(message) and self.stopped:
                # An interrupt that came before this took no effect.
                self._channel.reply(protocol.control_request("stop", _INTERRUPT))
            return
        belongs = self._question.place(message)
        if belongs is Belongs.TO_ANSWER:
            self._channel.inbox.put(message)
            # Here and not where it is read, since its reader may have left.
            if isinstance(message, protocol.Result) and self._asked_at is not None:
                self._account(message, outcome_of(message), self._asked_at)
                self._asked_at = None
        elif belongs is Belongs.TO_OTHER_TURN:
            self._note_unasked(message)
        if self.launch.session_id and isinstance(
            message, protocol.Assistant | protocol.User
        ):
            self.remember(message.uuid)

    def _note_unasked(self, message: Message) -> None:
        """Note a turn that nobody asked for."""
        if not self.had_unasked_turn:
            self.had_unasked_turn = True
            self.process.log.warning(
                "Claude CLI %s began a turn by itself: it is not used any more",
                self.process.pid,
            )
        if self._unasked_since is None:
            self._unasked_since = time.time()
        if isinstance(message, protocol.Result):
            self._account(message, "unasked", self._unasked_since)
            self._unasked_since = None

    def _account(
        self, result: protocol.Result, outcome: str, started_at: float
    ) -> None:
        """Count what a turn took."""
        metrics.TURNS.labels(outcome).inc()
        taken = self._meter.taken(result)
        if self._account_to is None:
            return
        account = account_of(
            result,
            taken,
            session_id=self.launch.session_id,
            asked_model=self._asked_model,
            outcome=outcome,
            started_at=started_at,
        )
        self._account_to(account)

    def _answer_request(self, request: protocol.ControlRequest) -> None:
        call = call_in(request)
        if call is not None:
            self.calls.called(call)
            return
        # Left unanswered it would hold the turn for ever.
        tools = () if self.setup is None else self.setup.tools
        answer = handshake_response(request, tools) or protocol.control_error(
            request.request_id, "This host answers no such request."
        )
        self._channel.reply(answer)
