"""`POST /v1/chat/completions`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from .. import metrics
from ..claude.turns import Conversation
from ..conversation import Corrected, answer
from ..errors import GatewayError
from ..openai.chunks import ChunkBuilder, fold, has_words, merge
from ..openai.messages import conversation_of
from ..openai.parameters import (
    decode_request,
    fields_without_effect,
    stop_sequences,
)
from ..openai.structured import StructuredAnswer
from ..openai.tools import names_by_cli_name
from ..openai.types import (
    ChatCompletionChunk,
    ChatCompletionRequest,
    ErrorBody,
    ErrorResponse,
)
from .base import CORRECTED_HEADER, IGNORED_HEADER, GatewayHandler, allowed_to
from .errors import api_error, error_of, http_errors
from .sse import EventStream

Chunks = AsyncIterator[list[ChatCompletionChunk]]


class ChatCompletionsHandler(GatewayHandler):
    """Answers a conversation, streamed or whole, from the same chunks."""

    endpoint = "chat.completions"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the conversation in the body."""
        with self.only_for_its_reader(), http_errors(self.log):
            request = decode_request(self.request.body)
            ignored = fields_without_effect(request)
            if ignored:
                self.set_header(IGNORED_HEADER, ", ".join(ignored))
            await self._answer(request)

    async def _answer(self, request: ChatCompletionRequest) -> None:
        options = request.stream_options if request.stream else None
        stop = stop_sequences(request)
        conversation = conversation_of(request, self.principal)
        tools = names_by_cli_name(conversation.opening.tools)
        structured = None
        if conversation.opening.schema:
            structured = StructuredAnswer(streamed=bool(request.stream))
        builder = ChunkBuilder(request.model or "", options, stop, tools, structured)
        async with aclosing(self._chunks(conversation, builder)) as chunks:  # type: ignore[type-var]
            if request.stream:
                await self._stream(chunks)
            else:
                parts = [chunk async for batch in chunks for chunk in batch]
                self.send_json(fold(parts, builder.usage))

    async def _chunks(
        self, conversation: Conversation, builder: ChunkBuilder
    ) -> Chunks:
        begun = False
        batches = answer(self.gateway.manager, conversation)
        async with aclosing(batches):  # type: ignore[type-var]
            async for batch in batches:
                if any(isinstance(message, Corrected) for message in batch):
                    self.set_header(CORRECTED_HEADER, "tool_choice")
                chunks = [chunk for message in batch for chunk in builder.feed(message)]
                if chunks and not begun and any(map(has_words, chunks)):
                    begun = True
                    metrics.FIRST_TOKEN_SECONDS.observe(self.request.request_time())
                yield chunks
                if builder.finished:
                    return

    def _mid_stream(self, error: Exception) -> ErrorBody:
        self.failed_midway = True
        if isinstance(error, GatewayError):
            self.log.warning("mid-stream: %s %s", error, error.detail)
            return api_error(error).body
        self.log.error("mid-stream: %s", error, exc_info=error)
        return error_of(error, 500)

    async def _stream(self, chunks: Chunks) -> None:
        stream = EventStream(self, self.gateway.keepalive_seconds)
        try:
            behind = False
            async for batch in chunks:
                behind = await stream.send(merge(batch) if behind else batch)
        except Exception as error:
            if not stream.started or self.client_gone:
                raise
            await stream.send([ErrorResponse(self._mid_stream(error))])
        finally:
            stream.close()
        await stream.done()
        self.finish(set_content_type="text/event-stream")
