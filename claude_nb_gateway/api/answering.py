"""What the APIs that answer a conversation share, streamed or whole.

All of them are made of chat completion chunks; a `Wire` says those in its own words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from .. import metrics
from ..claude.turns import Conversation
from ..conversation import Corrected, answer
from ..errors import GatewayError, InvalidRequest
from ..openai.chunks import ChunkBuilder, has_words, merge
from ..openai.messages import conversation_of, images_in
from ..openai.structured import StructuredAnswer
from ..openai.tools import names_by_cli_name
from ..openai.types import ChatCompletionChunk, ChatCompletionRequest, ErrorBody
from .base import CORRECTED_HEADER, IGNORED_HEADER, GatewayHandler
from .errors import api_error, error_of
from .sse import EventStream

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


class AnsweringHandler(GatewayHandler):
    """Base of the handlers that ask the model."""

    def report_ignored(self, names: Sequence[str]) -> None:
        """Say which fields of the request change nothing.

        Raises
        ------
        InvalidRequest
            There are some, and the server is strict about it.
        """
        if names and self.gateway.strict_parameters:
            raise InvalidRequest(
                f"`{names[0]}`: It would have no effect, and this gateway is set to "
                "refuse that (GatewayApp.strict_parameters): leave it out.",
                param=names[0],
                code="unsupported_parameter",
            )
        if names:
            self.set_header(IGNORED_HEADER, ", ".join(names))

    async def prepared(
        self,
        request: ChatCompletionRequest,
        stop: Sequence[str],
        paths: Sequence[str] | None = None,
    ) -> tuple[Conversation, ChunkBuilder]:
        """What `request` asks, and who makes the chunks of its answer.

        Where it was translated from a request of another kind, `paths` are the
        names that its messages have there.
        """
        if paths is None:
            paths = [f"messages[{index}]" for index in range(len(request.messages))]
        await self.gateway.images.fetch_all(images_in(request, paths))
        conversation = conversation_of(request, self.principal, paths)
        structured = None
        if conversation.opening.schema:
            structured = StructuredAnswer(streamed=bool(request.stream))
        builder = ChunkBuilder(
            request.model or "",
            request.stream_options,
            stop,
            names_by_cli_name(conversation.opening.tools),
            structured,
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
        batches = answer(self.gateway.manager, conversation)
        async with aclosing(batches):  # type: ignore[type-var]
            async for batch in batches:
                for message in batch:
                    if isinstance(message, Corrected):
                        self.set_header(CORRECTED_HEADER, message.parameter)
                chunks = [chunk for message in batch for chunk in builder.feed(message)]
                if chunks and not begun and any(map(has_words, chunks)):
                    begun = True
                    metrics.FIRST_TOKEN_SECONDS.observe(self.request.request_time())
                yield chunks
                if builder.finished:
                    return

    def error_midway(self, error: Exception) -> ErrorBody:
        """What to tell the client of an `error` after the status went out."""
        self.failed_midway = True
        if isinstance(error, GatewayError):
            self.log.warning("mid-stream: %s %s", error, error.detail)
            return api_error(error).body
        self.log.error("mid-stream: %s", error, exc_info=error)
        return error_of(error, 500)

    async def _stream(self, chunks: Chunks, wire: Wire) -> None:
        stream = EventStream(self, self.gateway.keepalive_seconds, wire.names_events)
        try:
            behind = False
            async for batch in chunks:
                chunks_now = merge(batch) if behind else batch
                events = [event for chunk in chunks_now for event in wire.feed(chunk)]
                behind = await stream.send(events)
        except Exception as error:
            if not stream.started or self.client_gone:
                raise
            await stream.send(wire.fail(self.error_midway(error)))
        finally:
            stream.close()
        if wire.ends_with_done:
            await stream.done()
        self.finish(set_content_type="text/event-stream")
