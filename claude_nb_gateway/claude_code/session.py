"""One Claude Code session on one process: prepare it, ask, follow, interrupt."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

from .. import metrics
from ..errors import CLITimeout, GatewayError, ProtocolError
from . import protocol
from .process import CLIProcess
from .profile import PLAIN, Launch
from .property_names import CallTranslator
from .protocol import Json, Message
from .tools import (
    Call,
    call_in,
    handshake_response,
    initialize_fields,
    long_descriptions,
    name_for_cli,
    response_to,
)
from .turns import ContentBlock, Setup, Turn, calls_in
from .usage import TurnAccount, UsageMeter, account_of, outcome_of

# With so many messages unread the pipe is left to fill, which slows the CLI.
INBOX_LIMIT = 4_096

# The Messages API refuses a thinking budget that is not below `max_tokens`, and
# the least budget is this. The CLI asks for it with models that do not adapt.
LEAST_THINKING_TOKENS = 1_024

INTERRUPT = {"subtype": "interrupt"}

# The variable that becomes `max_tokens`; null takes it away again.
LIMIT = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"


class Session:
    """A conversation on `process`; runs one turn at a time.

    `setup` is what it was initialized with, None before that. `waiting` says that
    the turn rests until the results of the calls `awaits` come, `calls` how many of
    them this turn had. `corrected` is set by who has said something in the session
    that its client does not know of. `account_to` is told what each turn took, `known`
    are the ids of the messages that this process has in its conversation. `stopped`
    says that `stop` was called, `seeded_with` is what the CLI said at the start of the
    last turn of history, `strayed` that the CLI began a turn by itself: the
    session then holds more than was asked of it.

    Parameters
    ----------
    process:
        A started process that nobody else listens to.
    launch:
        How it was started.
    control_timeout_seconds:
        How long the CLI may take to answer a control request or to take in a
        turn of history.
    gone:
        Called with the session when its process is gone, for whatever reason.
    """

    def __init__(
        self,
        process: CLIProcess,
        *,
        control_timeout_seconds: float,
        gone: Callable[[Session], None] = lambda session: None,
        launch: Launch = PLAIN,
    ) -> None:
        self.process = process
        self.launch = launch
        self.known: set[str] = set()
        self.account_to: Callable[[TurnAccount], None] | None = None
        self._gone = gone
        self.in_turn = False
        self.waiting = False
        self.awaits: frozenset[str] = frozenset()
        self.corrected = False
        self.stopped = False
        self.seeded_with: protocol.System | None = None
        self.strayed = False
        self.calls = 0
        self.setup: Setup | None = None
        self._settings: Json = {
            "model": launch.model,
            "effortLevel": launch.effort,
            "env": {LIMIT: None},
        }
        self._no_thinking = False
        self._meter = UsageMeter()
        self._asked_at = 0.0
        self._control_timeout = control_timeout_seconds
        self._inbox: list[Message] = []
        self._reader: asyncio.Future[bool] | None = None
        self._started = asyncio.Event()
        self._paused = False
        # The id of the user turn that is being answered; and whether what the CLI
        # says is about it.
        self._question = ""
        self._heard = False
        self._announces = False
        self._unasked_since: float | None = None
        self._lost: GatewayError | None = None
        self._abandoned: GatewayError | None = None
        self._answers: dict[str, asyncio.Future[protocol.ControlAnswer]] = {}
        self._request_ids = map(str, itertools.count(1))
        self._replies: set[asyncio.Task[None]] = set()
        self._last_message = ""
        self._calls: dict[str, Call] = {}
        self._results: dict[str, ContentBlock] = {}
        self._translator = CallTranslator({})
        self._call_ids: set[str] = set()
        process.listen(self)

    def fits(self, setup: Setup) -> bool:
        """Whether a turn with `setup` can be asked here.

        Its model and effort can change from turn to turn.
        """
        own = self.setup
        return own is not None and all(
            getattr(own, name) == getattr(setup, name)
            for name in ("system", "tools", "schema", "profile")
        )

    def received(self, messages: list[Message]) -> None:
        """Take messages off the process (see `process.Listener`)."""
        self._started.set()
        for message in messages:
            if isinstance(message, protocol.ControlResponse):
                self._control_answered(message.response)
            elif isinstance(message, protocol.ControlRequest):
                self._requested(message)
            else:
                self._sort(message)
                if self.launch.session_id and isinstance(
                    message, protocol.Assistant | protocol.User
                ):
                    self.known.add(message.uuid)
        self._wake_reader()
        if len(self._inbox) > INBOX_LIMIT and not self._paused:
            self._paused = True
            self.process.pause_reading()

    def lost(self, error: GatewayError) -> None:
        """The process is gone (see `process.Listener`)."""
        self._lost = error
        if self.in_turn:
            self._account(protocol.Result(), "lost")
        self._started.set()
        self._wake_reader()
        self._fail_answers(error)
        self._gone(self)

    def abandon(self, error: GatewayError) -> None:
        """End the running turn with `error` for whoever follows it."""
        self._abandoned = error
        self._wake_reader()
        self._fail_answers(error)

    async def started(self) -> None:
        """Wait until the process has started, which shows when it first answers.

        Returns also when it is gone, or has been told nothing for as long as the
        CLI may take to answer.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._control_timeout):
                await self._started.wait()

    async def warm_up(self) -> None:
        """Wait until the process has started, with a question to the CLI alone.

        Not any question will do: for some, `get_context_usage` above all, it sends
        requests to the model's API.
        """
        with contextlib.suppress(ProtocolError):
            await self.control("mcp_status")

    async def rehearse(self) -> bool:
        """Let the CLI load what a first turn needs, and ask nothing of the API.

        A user turn is recorded and taken back, before there is any other. Returns
        whether it is forgotten; if not, the session is of no use to anybody.
        """
        turn = protocol.user_message("…", query=False)
        await self._send_question(turn)
        await self._until_result("answer to a rehearsal")
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
        """Bind the session to `setup`; must come first, and once.

        Returns the CLI's description of itself: ``models``, ``account``, …
        An empty prompt is sent as one: without, the CLI would use its own. In a
        project it does, and the prompt comes after it.
        """
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
        return await self.control("initialize", **fields)

    async def apply_settings(
        self,
        *,
        model: str | None = None,
        effort: str | None = None,
        max_output_tokens: int | None = None,
    ) -> None:
        """Choose what the next turn runs with; None is the CLI's default.

        Before the first turn this leaves no trace in the conversation. After it, a
        change of model leaves a note there and a change of effort a mark; one of
        the limit leaves none.
        """
        limit = None if max_output_tokens is None else str(max_output_tokens)
        wanted: Json = {"model": model, "effortLevel": effort, "env": {LIMIT: limit}}
        changed = {k: v for k, v in wanted.items() if self._settings[k] != v}
        if changed:
            await self.control("apply_flag_settings", settings=changed)
            self._settings = wanted
        no_thinking = limit is not None and int(limit) <= LEAST_THINKING_TOKENS
        if no_thinking != self._no_thinking:
            budget = 0 if no_thinking else None
            await self.control("set_max_thinking_tokens", max_thinking_tokens=budget)
            self._no_thinking = no_thinking

    async def seed(self, history: Iterable[Turn]) -> None:
        """Record `history` as real turns, in order, without asking anything."""
        for turn in history:
            if turn.role == "assistant":
                content = self._translator.for_model(turn.content)
                self._call_ids.update(calls_in(content))
                await self.process.send(protocol.assistant_message(content))
            else:
                # The CLI takes these in order only if each is waited for.
                await self._send_question(
                    protocol.user_message(turn.content, query=False)
                )
                await self._until_result("answer to history")

    async def context_tokens(self) -> int:
        """How many tokens the conversation so far has.

        The CLI asks the model's API for that, in several ``count_tokens`` requests.
        """
        usage = await self.control("get_context_usage")
        return int(usage.get("totalTokens", 0))

    async def ask(
        self,
        content: list[Json],
        *,
        stall_timeout_seconds: float,
        turn_timeout_seconds: float,
    ) -> AsyncIterator[list[Message]]:
        """Send a user turn; yield what comes, in batches, up to the `Result`.

        Where the session is `waiting`, `content` are the results of its calls, and
        the turn goes on. A batch holds all that has arrived since the last one.
        Left before its end, the turn goes on: `interrupt` it. After `stop` nothing is
        asked any more, and the `Result` says that the turn was aborted. The cost in the
        `Result` is that of the turn, where the CLI gives that of the process so far;
        the usage is None after calls, where the CLI gives that from before them too.

        Raises
        ------
        CLITimeout
            The turn took too long, or nothing at all came for too long.
        CLIExited
            The process ended in mid-turn.
        """
        if self.stopped:
            yield [protocol.Result(is_error=True, terminal_reason="aborted_unasked")]
            return
        if self.waiting:
            self._answer_calls(content)
        else:
            self.in_turn = True
            self._asked_at = time.time()
            self.calls = 0
            question = protocol.user_message(content)
            self.known.add(question["uuid"])
            await self._send_question(question)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + turn_timeout_seconds
        while self.in_turn:
            left = deadline - loop.time()
            if left <= 0:  # also for a reader that is always behind
                raise CLITimeout("end of its turn", turn_timeout_seconds)
            try:
                batch = await self._batch(min(stall_timeout_seconds, left), "output")
            except CLITimeout:
                if left > stall_timeout_seconds:
                    raise
                raise CLITimeout("end of its turn", turn_timeout_seconds) from None
            if self._last_message:
                batch = self._after_last_message(batch)
            for position, message in enumerate(batch, start=1):
                if isinstance(message, protocol.Result):
                    self.in_turn = False
                    message.usage = None if self.calls else message.usage
                    self._account(message, outcome_of(message))
                    # What the CLI says after it is not of this turn.
                    self._inbox[:0] = batch[position:]
                    batch = batch[:position]
                    break
            yield self._translator.for_client(batch)

    async def stop(self) -> None:
        """End the turn that runs, or is about to be asked, with what was said so far.

        Whoever follows it gets its `Result`.
        """
        self.stopped = True
        if self.in_turn:
            await self.control("interrupt")

    def wait_for_results(self, message_id: str, calls: Collection[str]) -> None:
        """The turn rests after the model's message `message_id` with these `calls`.

        The next `ask` brings their results.
        """
        self.waiting = True
        self.awaits = frozenset(calls)
        self.calls += len(calls)
        self._call_ids.update(calls)
        self._last_message = message_id

    def has_used(self, calls: Sequence[str]) -> bool:
        """Whether one of the ids of these `calls` was used before, or is twice there.

        The CLI drops the result of such a call.
        """
        return len(self._call_ids.union(calls)) < len(self._call_ids) + len(calls)

    def refuse_calls(self, tool_use_ids: Iterable[str], reason: str) -> None:
        """Answer calls of the model that nobody else will."""
        for tool_use_id in tool_use_ids:
            self._results[tool_use_id] = {"content": [{"type": "text", "text": reason}]}
        self._reply_to_calls()

    async def interrupt(self) -> None:
        """Stop the running turn, if any, and wait until it has stopped."""
        self.stopped = True
        self.waiting = False
        self.awaits = frozenset()
        if self.in_turn:
            await self.control("interrupt")
            result = await self._until_result("end of the turn")
            self.in_turn = False
            self._account(result, "interrupted")
        elif self._unasked_since is not None:
            await self.control("interrupt")

    async def control(self, subtype: str, **fields: Any) -> Json:
        """Send a control request and return the CLI's answer to it.

        Raises
        ------
        ProtocolError
            The CLI refused it.
        CLITimeout, CLIExited
            No answer came.
        """
        if self._lost is not None:
            raise self._lost
        request_id = next(self._request_ids)
        future = asyncio.get_running_loop().create_future()
        self._answers[request_id] = future
        request = {"subtype": subtype, **fields}
        try:
            async with asyncio.timeout(self._control_timeout):
                await self.process.send(protocol.control_request(request_id, request))
                answer = await future
        except TimeoutError:
            raise CLITimeout(f"answer to {subtype}", self._control_timeout) from None
        finally:
            del self._answers[request_id]
        if answer.subtype != "success":
            raise ProtocolError(
                f"The Claude Code CLI refused the control request {subtype!r}.",
                detail=answer.error or "",
            )
        return answer.response or {}

    async def _send_question(self, question: Json) -> None:
        self._question, self._heard = question["uuid"], False
        await self.process.send(question)

    def _sort(self, message: Message) -> None:
        """Keep `message` for the reader of the turn, if it belongs to the question.

        The CLI begins turns by itself, when work in the background has ended and
        else, with messages like those of any other. It tells of each user turn when
        it starts with it, and in the result which ones that answers.
        """
        if isinstance(message, protocol.CommandLifecycle):
            self._announces = True
            if message.command_uuid == self._question and message.state == "started":
                self._heard = True
                if self.stopped:
                    # An interrupt that came before this took no effect.
                    self._reply(protocol.control_request("stop", INTERRUPT))
            return
        if _is_init(message) and self._question and not self._announces:
            self._heard = True  # an older CLI, which tells of nothing
        if self._heard and self._answers_question(message):
            if isinstance(message, protocol.Result):
                self._question, self._heard = "", False
        elif _is_of_a_turn(message):
            self._unasked(message)
            return
        elif not isinstance(message, protocol.RateLimitEvent):
            return
        self._inbox.append(message)

    def _answers_question(self, message: Message) -> bool:
        if not isinstance(message, protocol.Result):
            return True
        answered = message.user_message_uuids
        return answered is None or self._question in answered

    def _unasked(self, message: Message) -> None:
        """Take note of a turn that nobody asked for."""
        if not self.strayed:
            self.strayed = True
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
        self, result: protocol.Result, outcome: str, started_at: float | None = None
    ) -> None:
        metrics.TURNS.labels(outcome).inc()
        taken = self._meter.taken(result)
        if self.account_to is None:
            return
        account = account_of(
            result,
            taken,
            session_id=self.launch.session_id,
            asked_of=(self.setup.model if self.setup else None) or "",
            outcome=outcome,
            started_at=self._asked_at if started_at is None else started_at,
        )
        self.account_to(account)

    def _fail_answers(self, error: GatewayError) -> None:
        for future in self._answers.values():
            if not future.done():
                future.set_exception(error)

    def _control_answered(self, answer: protocol.ControlAnswer) -> None:
        future = self._answers.get(answer.request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    def _requested(self, request: protocol.ControlRequest) -> None:
        call = call_in(request)
        if call is not None:
            self._calls[call.tool_use_id] = call
            self._reply_to_calls()
            return
        # Left unanswered it would hold the turn for ever.
        tools = () if self.setup is None else self.setup.tools
        answer = handshake_response(request, tools) or protocol.control_error(
            request.request_id, "This host answers no such request."
        )
        self._reply(answer)

    def _answer_calls(self, results: list[ContentBlock]) -> None:
        self.waiting = False
        self.awaits = frozenset()
        for block in results:
            self._results[block["tool_use_id"]] = block
        self._reply_to_calls()

    def _after_last_message(self, batch: list[Message]) -> list[Message]:
        # What the CLI still had to say of the message with the calls is old news.
        for position, message in enumerate(batch):
            if _is_new(message, self._last_message):
                self._last_message = ""
                return batch[position:]
        return [m for m in batch if isinstance(m, protocol.System)]

    def _reply_to_calls(self) -> None:
        # The CLI may ask for the results in any order, and some only after others.
        for tool_use_id in self._calls.keys() & self._results.keys():
            result = self._results.pop(tool_use_id)
            self._reply(response_to(self._calls.pop(tool_use_id), result))

    def _reply(self, message: Json) -> None:
        task = asyncio.create_task(self._send_if_alive(message))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    async def _send_if_alive(self, message: Json) -> None:
        # Whoever follows the turn learns of the process's end by `lost`.
        with contextlib.suppress(GatewayError):
            await self.process.send(message)

    def _wake_reader(self, *, arrived: bool = True) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(arrived)

    async def _batch(self, within_seconds: float, what: str) -> list[Message]:
        while self._abandoned is not None or not self._inbox:
            if error := self._abandoned or self._lost:
                raise error
            # By hand, since `asyncio.timeout` would cost each delta more.
            loop = asyncio.get_running_loop()
            self._reader = loop.create_future()
            late = partial(self._wake_reader, arrived=False)
            timer = loop.call_later(within_seconds, late)
            try:
                if not await self._reader:
                    raise CLITimeout(what, within_seconds)
            finally:
                timer.cancel()
        batch, self._inbox = self._inbox, []
        if self._paused:
            self._paused = False
            self.process.resume_reading()
        return batch

    async def _until_result(self, what: str) -> protocol.Result:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._control_timeout
        while True:
            batch = await self._batch(max(deadline - loop.time(), 0), what)
            for message in batch:
                if isinstance(message, protocol.System) and _is_init(message):
                    self.seeded_with = message
                if isinstance(message, protocol.Result):
                    return message


def _is_init(message: Message) -> bool:
    return isinstance(message, protocol.System) and message.subtype == "init"


def _is_of_a_turn(message: Message) -> bool:
    """Whether the CLI says `message` in a turn only; sub-agents have no turns."""
    if isinstance(message, protocol.StreamEvent | protocol.Assistant):
        return message.parent_tool_use_id is None
    return isinstance(message, protocol.Result) or _is_init(message)


def _is_new(message: Message, last_message: str) -> bool:
    """Whether `message` belongs to what follows the model's `last_message`."""
    if isinstance(message, protocol.StreamEvent):
        return isinstance(message.event, protocol.MessageStart)
    if isinstance(message, protocol.Assistant):
        return message.message.id != last_message
    return isinstance(message, protocol.Result)
