"""What the APIs that answer a conversation share, streamed or whole.

Each reads its requests to a `Reading` and writes the events of a turn by a `Writer`.
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
from ..turn.reader import TurnReader
from ..wire.conversation import Reading
from ..wire.errors import ErrorBody
from ..workspace.projects import Entered
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

# What a larger request takes is felt by others, and worth a thread.
LARGE_BYTES = 64 * 2**10

# A header should stay short.
MOST_NAMED = 50

Request = TypeVar("Request")
Result = TypeVar("Result")

Events = AsyncIterator[list[TurnEvent]]

#: What a client can read of an answer.
_WORDS = (Text, Thinking, CallStarted, CallArguments)


class Writer(Protocol):
    """How one API says what the events of a turn say."""

    #: Whether each event of its streams bears its type as its name.
    names_events: bool
    #: Whether its streams end with ``[DONE]``.
    ends_with_done: bool

    def write(self, event: TurnEvent) -> Iterable[msgspec.Struct]:
        """What `event` becomes in a stream, which may be nothing."""

    def fail(self, error: ErrorBody) -> Iterable[msgspec.Struct]:
        """What ends a stream that broke off."""

    def whole(self) -> msgspec.Struct:
        """The answer in one piece, after the last event."""


class Stream(Protocol):
    """What takes events to a client, whatever they are framed in."""

    #: Whether anything was written yet; until then an error can be a status.
    started: bool

    async def send(self, events: Iterable[msgspec.Struct]) -> bool:
        """Write `events`; returns whether the client was too slow to take them."""

    async def done(self) -> None:
        """Write what ends a stream."""

    def keep_alive(self) -> None:
        """Write something now and then from now on: a process is sure to answer."""

    def close(self) -> None:
        """Write nothing more on its own."""


@dataclass(frozen=True)
class Scope:
    """Where a request is to be answered."""

    profile: Profile = CHAT
    project: Project | None = None
    session: SessionRecord | None = None

    @property
    def session_begun(self) -> bool:
        """Whether the session must have a transcript."""
        record = self.session
        return record is not None and bool(record.totals.turns or record.last_uuid)

    def hold(self, conversation: Conversation, principal: str) -> Conversation:
        """`conversation` as it is to be asked here, by `principal`."""
        opening = replace(
            conversation.opening, profile=self.profile, principal=principal
        )
        if self.session is None:
            return replace(conversation, opening=opening)
        prompt = conversation.prompt
        if not prompt and self.session.system:
            prompt = (self.session.system,)
            opening = replace(opening, system=(*prompt, *opening.system))
        model = opening.model or self.session.model or None
        return replace(
            conversation,
            opening=replace(opening, model=model),
            session_id=self.session.id,
            begun=self.session_begun,
            prompt=prompt,
        )


class AnsweringHandler(GatewayHandler):
    """Base of the handlers that ask the model."""

    #: Where the request is answered, once that is known.
    answered_in = Scope()
    #: Whether the request is so large that others would feel what it takes.
    is_large = False

    async def compute(self, function: Callable[..., Result], *args: Any) -> Result:
        """What `function`, which is pure, gives for `args`.

        For a large request it runs beside the event loop, which goes on meanwhile.
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
        """Where the request is to be answered: what its body, headers and path say.

        Raises
        ------
        InvalidRequest
            They name several projects or sessions.
        ProjectNotFound, SessionNotFound, NotAllowed, StoreUnavailable
        """
        session_id = session_named(self.request, session_id)
        named = project_named(self.request, project_id, self.project_in_path)
        session, project = None, None
        if session_id is not None:
            sessions = self.services.sessions
            session, project = await sessions.enter(self.caller, session_id)
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
    ) -> Entered | None:
        projects = self.services.projects
        if named is None:
            if project is None:
                return None
            return await projects.enter(project.id, self.caller)
        entered = await projects.enter(named, self.caller)
        if session is not None and session.project_id != entered.project.id:
            raise InvalidRequest(
                "`session_id`: that session is not of this project.",
                param="session_id",
            )
        return entered

    def tell(self, name: str, value: str) -> None:
        """Tell the client, in a header of the answer where it has headers."""
        self.set_header(name, value)

    def waited_seconds(self) -> float:
        """For how long the client has waited by now."""
        return self.request.request_time()

    async def end_stream(self, stream: Stream, writer: Writer) -> None:
        """Say that all events are sent."""
        if writer.ends_with_done:
            await stream.done()
        self.finish(set_content_type="text/event-stream")

    def report_ignored(self, names: Sequence[str]) -> None:
        """Say which fields of the request change nothing.

        Raises
        ------
        InvalidRequest
            There are some, and the server is strict about it.
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
        """Say what of the schemas the model could not be asked for."""
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
        """What `reading` asks, here and of the caller; the body names project and
        session.

        Raises
        ------
        InvalidRequest
            An image cannot be had, a schema is none, or see `scope`.
        """
        scope = await self.scope(project_id, session_id)
        self.answered_in = scope
        await self.services.images.fetch_all(reading.images)
        conversation = scope.hold(reading.conversation, self.principal)
        await self.compute(conversation.digests)  # which keeps them
        for path, schema in reading.schemas:
            await self.services.schemas.check_schema(schema, path)
        self._report_left_out(conversation.left_out)
        return conversation

    async def answer(
        self, conversation: Conversation, writer: Writer, *, stream: bool
    ) -> None:
        """Ask, and finish the response with the answer."""
        if not stream:
            await self.fill(writer, conversation)
            self.send_json(writer.whole())
            return
        async with aclosing(self.events(conversation, streamed=True)) as events:  # type: ignore[type-var]
            await self._stream(events, writer)

    async def fill(self, writer: Writer, conversation: Conversation) -> None:
        """Ask, and let `writer` have the whole answer."""
        async with aclosing(self.events(conversation, streamed=False)) as events:  # type: ignore[type-var]
            async for batch in events:
                for event in batch:
                    writer.write(event)

    async def events(self, conversation: Conversation, *, streamed: bool) -> Events:
        """The events of the turn that answers `conversation`, in batches."""
        begun = False
        scope = self.answered_in
        recorder = self.services.sessions.recorder(
            self.caller, scope.project, scope.session, _prompt(conversation)
        )
        reader = TurnReader(conversation, streamed=streamed)
        mismatch = self.services.schemas.mismatch
        batches = answer(self.services.manager, conversation, recorder, mismatch)
        async with aclosing(batches):  # type: ignore[type-var]
            async for batch in batches:
                events = [event for message in batch for event in reader.feed(message)]
                for event in events:
                    self._tell_of(event, conversation)
                if not begun and any(isinstance(event, _WORDS) for event in events):
                    begun = True
                    metrics.FIRST_TOKEN_SECONDS.observe(self.waited_seconds())
                yield events
                if reader.finished:
                    return

    def _tell_of(self, event: TurnEvent, conversation: Conversation) -> None:
        if isinstance(event, Corrected):
            self.tell(CORRECTED_HEADER, event.parameter)
        elif isinstance(event, SessionStarted) and conversation.has_own_turns:
            self.tell(SESSION_HEADER, event.session_id)

    def error_midway(self, error: Exception) -> ErrorBody:
        """What to tell the client of an `error` after the status went out."""
        self.failed_midway = True
        if isinstance(error, GatewayError):
            self.log.warning("mid-stream: %s %s", error, error.detail)
            return api_error(error).body
        self.log.error("mid-stream: %s", error, exc_info=error)
        return error_of(error, 500)

    def event_stream(self, writer: Writer) -> Stream:
        """What takes an answer in the words of `writer` to the client."""
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
                # Now a process is sure to answer: no more 429.
                stream.keep_alive()
                now = merged(batch) if behind else batch
                frames = [frame for event in now for frame in writer.write(event)]
                behind = await stream.send(frames)
        except StreamClosedError:
            raise  # there is nobody to tell
        except Exception as error:
            if not stream.started or self.client_gone:
                raise
            await stream.send(writer.fail(self.error_midway(error)))
        finally:
            stream.close()
        await self.end_stream(stream, writer)


def _prompt(conversation: Conversation) -> str:
    return "\n\n".join(conversation.prompt)
