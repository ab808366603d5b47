"""What the APIs that answer a conversation share, streamed or whole.

All of them are made of chat completion chunks; a `Wire` says those in its own words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from .. import metrics
from ..access.rights import Action, Resource
from ..claude_code.profile import CHAT, Profile
from ..claude_code.turns import Conversation
from ..errors import GatewayError, InvalidRequest
from ..store.records import Project, SessionRecord
from ..turn.asking import Corrected, answer
from ..wire.chat.conversation import conversation_of, images_in
from ..wire.chat.events import ChunkBuilder, has_words, merge
from ..wire.chat.structured import StructuredAnswer, checked_schema
from ..wire.chat.tools import checked_schemas, names_by_cli_name
from ..wire.chat.types import ChatCompletionChunk, ChatCompletionRequest, ErrorBody
from ..wire.fields import Names, rename_in, renamed
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

Chunks = AsyncIterator[list[ChatCompletionChunk]]


class Wire(Protocol):
    """How one API says what chat completion chunks say."""

    #: Whether each event of its streams bears its type as its name.
    names_events: bool
    #: Whether its streams end with ``[DONE]``.
    ends_with_done: bool

    def feed(self, chunk: ChatCompletionChunk) -> Iterable[msgspec.Struct]:
        """The events that `chunk` becomes."""

    def fail(self, error: ErrorBody) -> Iterable[msgspec.Struct]:
        """The events that end a stream which broke off."""

    def whole(self) -> msgspec.Struct:
        """The answer in one piece, after the last chunk."""


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

    def hold(self, conversation: Conversation) -> Conversation:
        """`conversation` as it is to be asked here."""
        opening = replace(conversation.opening, profile=self.profile)
        if self.session is None:
            return replace(conversation, opening=opening)
        model = opening.model or self.session.model or None
        opening = replace(opening, model=model)
        return replace(
            conversation,
            opening=opening,
            session_id=self.session.id,
            begun=self.session_begun,
        )


class AnsweringHandler(GatewayHandler):
    """Base of the handlers that ask the model."""

    #: Where the request is answered, once that is known.
    answered_in = Scope()
    #: Whether the request is so large that others would feel what it takes.
    is_large = False
    #: What the fields of the chat completion are called in the request.
    field_names: Names = ()

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

    async def end_stream(self, stream: Stream, wire: Wire) -> None:
        """Say that all events are sent."""
        if wire.ends_with_done:
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
        names = self.field_names
        shown = list(dict.fromkeys(renamed(field, names) for field in fields))
        if len(shown) > MOST_NAMED:
            shown[MOST_NAMED:] = ["..."]
        if shown:
            self.tell(REDUCED_HEADER, ", ".join(shown))

    async def prepared(
        self,
        request: ChatCompletionRequest,
        stop: Sequence[str],
        paths: Sequence[str] | None = None,
        names: Names = (),
    ) -> tuple[Conversation, ChunkBuilder]:
        """What `request` asks, and who makes the chunks of its answer.

        Where it was translated from a request of another kind, `paths` are the
        names that its messages have there, `names` those of its fields.
        """
        self.field_names = names
        if paths is None:
            count = len(request.messages)
            paths = await self.compute(lambda: [f"messages[{n}]" for n in range(count)])
        scope = await self.scope(request.project_id, request.session_id)
        self.answered_in = scope
        await self.services.images.fetch_all(images_in(request, paths))
        prompt = "" if scope.session is None else scope.session.system
        asked = await self.compute(
            conversation_of, request, self.principal, paths, prompt
        )
        conversation = scope.hold(asked)
        await self.compute(conversation.digests)  # which keeps them
        for path, schema in await self.compute(_checked, request):
            await self.services.schemas.check_schema(schema, path)
        self._report_left_out(conversation.left_out)
        structured = None
        if conversation.opening.schema:
            structured = StructuredAnswer(streamed=bool(request.stream))
        builder = ChunkBuilder(
            request.model or "",
            request.stream_options,
            stop,
            names_by_cli_name(conversation.opening.tools),
            structured,
            paragraphs=conversation.has_own_turns,
        )
        return conversation, builder

    async def answer(
        self,
        conversation: Conversation,
        builder: ChunkBuilder,
        wire: Wire,
        *,
        stream: bool,
    ) -> None:
        """Ask, and finish the response with the answer."""
        if not stream:
            await self.fill(wire, conversation, builder)
            self.send_json(wire.whole())
            return
        async with aclosing(self.chunks(conversation, builder)) as chunks:  # type: ignore[type-var]
            await self._stream(chunks, wire)

    async def fill(
        self, wire: Wire, conversation: Conversation, builder: ChunkBuilder
    ) -> None:
        """Ask, and let `wire` have the whole answer."""
        async with aclosing(self.chunks(conversation, builder)) as chunks:  # type: ignore[type-var]
            async for batch in chunks:
                for chunk in batch:
                    wire.feed(chunk)

    async def chunks(self, conversation: Conversation, builder: ChunkBuilder) -> Chunks:
        """The chunks of the answer to `conversation`, in batches."""
        begun = False
        scope = self.answered_in
        recorder = self.services.sessions.recorder(
            self.caller, scope.project, scope.session, _prompt(conversation)
        )
        mismatch = self.services.schemas.mismatch
        batches = answer(self.services.manager, conversation, recorder, mismatch)
        async with aclosing(batches):  # type: ignore[type-var]
            async for batch in batches:
                for message in batch:
                    if isinstance(message, Corrected):
                        corrected = renamed(message.parameter, self.field_names)
                        self.tell(CORRECTED_HEADER, corrected)
                chunks = [chunk for message in batch for chunk in builder.feed(message)]
                if not begun and conversation.has_own_turns:
                    self.tell(SESSION_HEADER, builder.session.id)
                if chunks and not begun and any(map(has_words, chunks)):
                    begun = True
                    metrics.FIRST_TOKEN_SECONDS.observe(self.waited_seconds())
                yield chunks
                if builder.finished:
                    return

    def error_midway(self, error: Exception) -> ErrorBody:
        """What to tell the client of an `error` after the status went out."""
        self.failed_midway = True
        if isinstance(error, GatewayError):
            self.log.warning("mid-stream: %s %s", error, error.detail)
            rename_in(error, self.field_names)
            return api_error(error).body
        self.log.error("mid-stream: %s", error, exc_info=error)
        return error_of(error, 500)

    def event_stream(self, wire: Wire) -> Stream:
        """What takes an answer in the words of `wire` to the client."""
        return EventStream(
            self,
            self.services.keepalive_seconds,
            wire.names_events,
            reader_timeout_seconds=self.services.reader_timeout_seconds,
        )

    async def _stream(self, chunks: Chunks, wire: Wire) -> None:
        stream = self.event_stream(wire)
        try:
            behind = False
            async for batch in chunks:
                # Now a process is sure to answer: no more 429.
                stream.keep_alive()
                chunks_now = merge(batch) if behind else batch
                events = [event for chunk in chunks_now for event in wire.feed(chunk)]
                behind = await stream.send(events)
        except Exception as error:
            if not stream.started or self.client_gone:
                raise
            await stream.send(wire.fail(self.error_midway(error)))
        finally:
            stream.close()
        await self.end_stream(stream, wire)


def _checked(request: ChatCompletionRequest) -> list[tuple[str, str]]:
    """The schemas of `request` that must be some: field and text of each."""
    return [*checked_schema(request), *checked_schemas(request)]


def _prompt(conversation: Conversation) -> str:
    return "\n\n".join(conversation.prompt)
