"""What a session sends to its process, and what it receives."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..errors import CLITimeout, GatewayError, ProtocolError
from . import protocol
from .process import CLIProcess
from .protocol import ControlRequest, Json, Message
from .tasks import BackgroundTasks

# If more messages are unread, the pipe is left to fill, which slows the CLI down.
MAX_UNREAD_MESSAGES = 4_096


class ControlRequests:
    """The requests to the CLI itself, each with its answer.

    Parameters
    ----------
    timeout_seconds:
        Maximum time that the CLI takes to answer.
    """

    def __init__(self, process: CLIProcess, timeout_seconds: float) -> None:
        self._process = process
        self._timeout_seconds = timeout_seconds
        self._ids = map(str, itertools.count(1))
        self._pending: dict[str, asyncio.Future[protocol.ControlAnswer]] = {}

    async def send(self, subtype: str, **fields: Any) -> Json:
        """Send a control request, and return the CLI's answer.

        Raises
        ------
        ProtocolError
            The CLI refused it.
        CLITimeout, CLIExited
            No answer came.
        """
        request_id = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._pending[request_id] = future
        request = protocol.control_request(request_id, {"subtype": subtype, **fields})
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._process.send(request)
                answer = await future
        except TimeoutError:
            raise CLITimeout(f"answer to {subtype}", self._timeout_seconds) from None
        finally:
            del self._pending[request_id]
        if answer.subtype != "success":
            raise ProtocolError(
                f"The Claude Code CLI refused the control request {subtype!r}.",
                detail=answer.error or "",
            )
        return answer.response or {}

    def answered(self, answer: protocol.ControlAnswer) -> None:
        """The CLI has answered a request."""
        future = self._pending.get(answer.request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    def fail(self, error: GatewayError) -> None:
        """End all requests that wait for their answers with `error`."""
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error)


class Inbox:
    """The messages of a turn that nobody has read yet; has one reader at most."""

    def __init__(self, process: CLIProcess) -> None:
        self._process = process
        self._messages: list[Message] = []
        self._reader: asyncio.Future[bool] | None = None
        self._paused = False
        self._lost: GatewayError | None = None
        self._abandoned: GatewayError | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        """Add a message. Call `delivered` after the last one of a batch."""
        self._messages.append(message)

    def put_back(self, messages: Iterable[Message]) -> None:
        """Let the next batch begin with `messages`."""
        self._messages[:0] = messages

    def delivered(self) -> None:
        """Wake the reader. If too much is unread, stop reading the pipe."""
        self._wake()
        if len(self._messages) > MAX_UNREAD_MESSAGES and not self._paused:
            self._paused = True
            self._process.pause_reading()

    def _wake(self, *, arrived: bool = True) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(arrived)

    def close(self, error: GatewayError) -> None:
        """No more messages come; after the last one the reader gets `error`."""
        self._lost = error
        self._wake()

    def abandon(self, error: GatewayError) -> None:
        """Give the reader `error` now, whatever is unread."""
        self._abandoned = error
        self._wake()

    async def batch(self, within_seconds: float, awaited: str) -> list[Message]:
        """All messages that are unread; waits for the first one.

        Raises
        ------
        CLITimeout
            None came in time; `awaited` says in the error what was waited for.
        GatewayError
            The error of `close` or `abandon`.
        """
        while self._abandoned is not None or not self._messages:
            if error := self._abandoned or self._lost:
                raise error
            # By hand, since `asyncio.timeout` would cost each delta more.
            loop = asyncio.get_running_loop()
            self._reader = loop.create_future()
            late = partial(self._wake, arrived=False)
            timer = loop.call_later(within_seconds, late)
            try:
                if not await self._reader:
                    raise CLITimeout(awaited, within_seconds)
            finally:
                timer.cancel()
        batch, self._messages = self._messages, []
        if self._paused:
            self._paused = False
            self._process.resume_reading()
        return batch

    async def turn_batch(
        self, deadline: float, *, stall_timeout_seconds: float, turn_seconds: float
    ) -> list[Message]:
        """The next batch of a turn that lasts `turn_seconds` at most, to `deadline`.

        Raises
        ------
        CLITimeout
            Nothing came within `stall_timeout_seconds`, or the deadline has passed.
        GatewayError
            The error of `close` or `abandon`.
        """
        left = deadline - asyncio.get_running_loop().time()
        if left > 0:  # it is not if the reader is too slow
            try:
                return await self.batch(min(stall_timeout_seconds, left), "output")
            except CLITimeout:
                if left > stall_timeout_seconds:
                    raise
        raise CLITimeout("end of its turn", turn_seconds)


class Channel:
    """Sends to a process and sorts what comes from it (see `process.Listener`).

    Parameters
    ----------
    process:
        A started process that has no other listener.
    control_timeout_seconds:
        Maximum time that the CLI takes to start, or to answer a control request.
    on_message:
        Called with each message that belongs to a turn; puts it into `inbox` or not.
    on_request:
        Called with each control request of the CLI, which waits for an answer.
    on_lost:
        Called with the error once the process is gone.
    """

    def __init__(
        self,
        process: CLIProcess,
        *,
        control_timeout_seconds: float,
        on_message: Callable[[Message], None],
        on_request: Callable[[ControlRequest], None],
        on_lost: Callable[[GatewayError], None],
    ) -> None:
        self.process = process
        self.inbox = Inbox(process)
        self.control = ControlRequests(process, control_timeout_seconds)
        self._timeout_seconds = control_timeout_seconds
        self._on_message = on_message
        self._on_request = on_request
        self._on_lost = on_lost
        self._replies = BackgroundTasks(process.log)
        self._first_sign = asyncio.Event()

    def listen(self) -> None:
        """Receive from now on."""
        self.process.listen(self)

    def received(self, messages: list[Message]) -> None:
        """Sort messages of the process (see `process.Listener`)."""
        self._first_sign.set()
        for message in messages:
            if isinstance(message, protocol.ControlResponse):
                self.control.answered(message.response)
            elif isinstance(message, ControlRequest):
                self._on_request(message)
            else:
                self._on_message(message)
        self.inbox.delivered()

    def lost(self, error: GatewayError) -> None:
        """The process is gone (see `process.Listener`)."""
        self._first_sign.set()
        self.inbox.close(error)
        self.control.fail(error)
        self._on_lost(error)

    def abandon(self, error: GatewayError) -> None:
        """Give `error` now to the reader and to all control requests."""
        self.inbox.abandon(error)
        self.control.fail(error)

    async def started(self) -> None:
        """Wait until the process has started, which shows when it first answers.

        Returns also if the process is gone, or if nothing comes in the maximum time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                await self._first_sign.wait()

    async def send(self, message: Json) -> None:
        """Send a message; raises CLIExited or CLITimeout."""
        await self.process.send(message)

    def reply(self, message: Json) -> None:
        """Send a message in the background, unless the process is gone."""
        self._replies.start(self._send_if_alive(message))

    async def _send_if_alive(self, message: Json) -> None:
        # The reader of the turn gets the error from `lost`.
        with contextlib.suppress(GatewayError):
            await self.send(message)

    async def result(self, awaited: str) -> tuple[protocol.Result, list[Message]]:
        """The next `Result`, and the messages before it.

        Raises CLITimeout, with `awaited` in its text, or CLIExited.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        before: list[Message] = []
        while True:
            batch = await self.inbox.batch(max(deadline - loop.time(), 0), awaited)
            for position, message in enumerate(batch):
                if isinstance(message, protocol.Result):
                    # Messages after it belong to no turn, and are dropped.
                    return message, [*before, *batch[:position]]
            before += batch
