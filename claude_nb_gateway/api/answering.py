"""What all APIs that answer a conversation share, for streamed and whole answers.

Each API reads its request into a `Reading`. Its own `Writer` makes objects from the
events of the turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec
from tornado.iostream import StreamClosedError

from .. import metrics
from ..access.rights import Action, Resource
from ..claude_code.profile import CHAT, Profile
from ..claude_code.turns import Conversation
from ..errors import GatewayError, InvalidRequest
from ..store.records import Project, SessionRecord
from ..turn.asking import answer
from ..turn.events import (
    CallArguments,
    CallStarted,
    Corrected,
    SessionStarted,
    Text,
    Thinking,
    TurnEvent,
    merged,
)
from ..wire.conversation import Reading
from ..wire.errors import ErrorBody
from ..workspace.projects import ResolvedProject
from .base import (
    CORRECTED_HEADER,
    IGNORED_HEADER,
    REDUCED_HEADER,
    SESSION_HEADER,
    GatewayHandler,
)
from .bounds import check_values
from .errors import api_error, error_of
from .ids import project_named, session_named
from .sse import EventStream

# Work on a larger request would delay other requests, so a thread does it.
LARGE_BYTES = 64 * 2**10

# Maximum number of fields that a header names.
MOST_NAMED = 50

Request = TypeVar("Request")
Result = TypeVar("Result")

Events = AsyncIterator[list[TurnEvent]]

#: The events that give the client something to read.
_WORDS = (Text, Thinking, CallStarted, CallArguments)


class Writer(Protocol):
    """Turns the events of a turn into the objects of one API."""

    #: Whether each event of a stream has its type as its SSE name.
    names_events: bool
    #: Whether a stream ends with ``[DONE]``.
    ends_with_done: bool

    def write(self, event: TurnEvent) -> Iterable[msgspec.Struct]:
        """The objects for `event` in a stream, often one, maybe none."""

    def fail(self, error: ErrorBody) -> Iterable[msgspec.Struct]:
        """The objects at the end of a stream that broke off."""

    def whole(self) -> msgspec.Struct:
        """The whole answer, after the last event."""


class Stream(Protocol):
    """Sends the objects of a stream to the client, as SSE or on a WebSocket."""

    #: Whether anything was written. Until then an error can be an HTTP status.
    started: bool

    async def send(self, events: Iterable[msgspec.Struct]) -> bool:
        """Write `events`; returns whether the client was too slow to take them."""

    async def done(self) -> None:
        """Write the end of the stream."""

    def keep_alive(self) -> None:
        """Write a comment from time to time from now on."""

    def close(self) -> None:
        """Stop those comments."""


@dataclass(frozen=True)
class Scope:
    """Where a request is answered."""

    profile: Profile = CHAT
    project: Project | None = None
    session: SessionRecord | None = None

    @property
    def session_begun(self) -> bool:
        """Whether the session must have a transcript."""
        record = self.session
        return record is not None and bool(record.totals.turns or record.last_uuid)

    def hold(self, conversation: Conversation, principal: str) -> Conversation:
        """`conversation` with what this scope adds, asked by `principal`."""
        setup = replace(conversation.setup, profile=self.profile, principal=principal)
        if self.session is None:
            return replace(conversation, setup=setup)
        prompt = conversation.prompt
        if not prompt and self.session.system:
            prompt = (self.session.system,)
            setup = replace(setup, system=(*prompt, *setup.system))
        model = setup.model or self.session.model or None
        return replace(
            conversation,
            setup=replace(setup, model=model),
            session_id=self.session.id,
            begun=self.session_begun,
            prompt=prompt,
        )


class AnsweringHandler(GatewayHandler):
    """Base of the handlers that ask the model."""

    #: Where the request is answered; known after `prepared`.
    answered_in = Scope()
    #: Whether work on the request would delay other requests.
    is_large = False

    async def compute(self, function: Callable[..., Result], *args: Any) -> Result:
        """The result of `function`, which must be pure, for `args`.

        For a large request it runs in a thread, and the event loop continues.
        """
        if not self.is_large:
            return function(*args)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self.services.large_requests, partial(function, *args)
        )

    async def decoded(
        self, decode: Callable[[bytes], Request], body: bytes | None = None
    ) -> Request:
        """The body, or `body`, as `decode` reads it; raises InvalidRequest."""
        body = self.request.body if body is None else body
        self.is_large = len(body) >= LARGE_BYTES
        await self.compute(check_values, body)
        return await self.compute(decode, body)

    async def scope(
        self, project_id: str | None = None, session_id: str | None = None
    ) -> Scope:
        """Where the request is answered, by its body, its headers and its path.

        Raises
        ------
        InvalidRequest
            They name different projects or sessions.
        ProjectNotFound, SessionNotFound, NotAllowed, StoreUnavailable
        """
        session_id = session_named(self.request, session_id)
        named = project_named(self.request, project_id, self.project_in_path)
        session, project = None, None
        if session_id is not None:
            sessions = self.services.sessions
            session, project = await sessions.resolve(self.caller, session_id)
        entered = await self._entered(named, project, session)
        if entered is None:
            if session is None:
                self.caller.require(Resource.CHAT, Action.ASK)
            return Scope(session=session)
        profile = await self.services.projects.profile(entered, self.caller)
        return Scope(profile, entered.project, session)

    async def _entered(
        self,
        named: str | None,
        project: Project | None,
        session: SessionRecord | None,
    ) -> ResolvedProject | None:
        projects = self.services.projects
        if named is None:
            if project is None:
                return None
            return await projects.resolve(project.id, self.caller)
        entered = await projects.resolve(named, self.caller)
        if session is not None and session.project_id != entered.project.id:
            raise InvalidRequest(
                "`session_id`: that session is not of this project.",
                param="session_id",
            )
        return entered

    def tell(self, name: str, value: str) -> None:
        """Tell the client something, in a header if the answer has headers."""
        self.set_header(name, value)

    def waited_seconds(self) -> float:
        """How long the client has waited so far."""
        return self.request.request_time()

    async def end_stream(self, stream: Stream, writer: Writer) -> None:
        """End the stream: all events are sent."""
        if writer.ends_with_done:
            await stream.done()
        self.finish(set_content_type="text/event-stream")

    def report_ignored(self, names: Sequence[str]) -> None:
        """Tell the client which fields of the request have no effect.

        Raises
        ------
        InvalidRequest
            There are some, and `strict_parameters` is set.
        """
        if names and self.services.strict_parameters:
            raise InvalidRequest(
                f"`{names[0]}`: It would have no effect, and this gateway is set to "
                "refuse that (GatewayApp.strict_parameters): leave it out.",
                param=names[0],
                code="unsupported_parameter",
            )
        if names:
            self.tell(IGNORED_HEADER, ", ".join(names))

    def _report_left_out(self, fields: Sequence[str]) -> None:
        """Tell the client which keywords of its schemas the CLI does not get."""
        shown = list(dict.fromkeys(fields))
        if len(shown) > MOST_NAMED:
            shown[MOST_NAMED:] = ["..."]
        if shown:
            self.tell(REDUCED_HEADER, ", ".join(shown))

    async def prepared(
        self,
        reading: Reading,
        project_id: str | None = None,
        session_id: str | None = None,
    ) -> Conversation:
        """The conversation of `reading` with the scope and the caller of the request.

        `project_id` and `session_id` are those that the body names.

        Raises
        ------
        InvalidRequest
            An image cannot be fetched, a schema is not valid, or see `scope`.
        """
        scope = await self.scope(project_id, session_id)
        self.answered_in = scope
        await self.services.images.fetch_all(reading.images)
        conversation = scope.hold(reading.conversation, self.principal)
        await self.compute(conversation.digests)  # the conversation keeps them
        for path, schema in reading.schemas:
            await self.services.schemas.check_schema(schema, path)
        self._report_left_out(conversation.left_out)
        return conversation

    async def answer(
        self, conversation: Conversation, writer: Writer, *, stream: bool
    ) -> None:
        """Ask the question, and finish the HTTP response with the answer."""
        if not stream:
            await self.fill(writer, conversation)
            self.send_json(writer.whole())
            return
        async with aclosing(self.events(conversation, streamed=True)) as events:  # type: ignore[type-var]
            await self._stream(events, writer)

    async def fill(self, writer: Writer, conversation: Conversation) -> None:
        """Ask the question, and give `writer` the whole answer."""
        async with aclosing(self.events(conversation, streamed=False)) as events:  # type: ignore[type-var]
            async for batch in events:
                for event in batch:
                    writer.write(event)

    async def events(self, conversation: Conversation, *, streamed: bool) -> Events:
        """The events of the turn that answers `conversation`, in batches."""
        begun = False
        scope = self.answered_in
        recorder = self.services.sessions.usage.recorder(
            self.caller, scope.project, scope.session, _prompt(conversation)
        )
        batches = answer(
            self.services.manager,
            conversation,
            streamed=streamed,
            account_to=recorder,
            mismatch=self.services.schemas.mismatch,
        )
        async with aclosing(batches):  # type: ignore[type-var]
            async for events in batches:
                for event in events:
                    self._tell_of(event, conversation)
                if not begun and any(isinstance(event, _WORDS) for event in events):
                    begun = True
                    metrics.FIRST_TOKEN_SECONDS.observe(self.waited_seconds())
                yield events

    def _tell_of(self, event: TurnEvent, conversation: Conversation) -> None:
        if isinstance(event, Corrected):
            self.tell(CORRECTED_HEADER, event.parameter)
        elif isinstance(event, SessionStarted) and conversation.has_own_turns:
            self.tell(SESSION_HEADER, event.session_id)

    def error_midway(self, error: Exception) -> ErrorBody:
        """The error object for an `error` after the status was sent."""
        self.failed_midway = True
        if isinstance(error, GatewayError):
            self.log.warning("mid-stream: %s %s", error, error.detail)
            return api_error(error).body
        self.log.error("mid-stream: %s", error, exc_info=error)
        return error_of(error, 500)

    def event_stream(self, writer: Writer) -> Stream:
        """The stream that sends what `writer` makes."""
        return EventStream(
            self,
            self.services.keepalive_seconds,
            writer.names_events,
            reader_timeout_seconds=self.services.reader_timeout_seconds,
        )

    async def _stream(self, events: Events, writer: Writer) -> None:
        stream = self.event_stream(writer)
        try:
            behind = False
            async for batch in events:
                # From here on a process answers, so there is no 429 any more.
                stream.keep_alive()
                now = merged(batch) if behind else batch
                frames = [frame for event in now for frame in writer.write(event)]
                behind = await stream.send(frames)
        except StreamClosedError:
            raise  # the client is gone
        except Exception as error:
            if not stream.started or self.client_gone:
                raise
            await stream.send(writer.fail(self.error_midway(error)))
        finally:
            stream.close()
        await self.end_stream(stream, writer)


def _prompt(conversation: Conversation) -> str:
    return "\n\n".join(conversation.prompt)
