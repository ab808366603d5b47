"""`POST /v1/completions`, for older clients."""

from __future__ import annotations

from ..wire.chat.completions import (
    COMPLETION,
    CompletionWriter,
    decode_completion_request,
    read_completion_request,
)
from .answering import AnsweringHandler
from .auth import allowed_to
from .errors import http_errors


class CompletionsHandler(AnsweringHandler):
    """Answers a prompt, streamed or whole."""

    endpoint = "completions"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the prompt in the body."""
        with self.only_for_its_reader(), http_errors():
            request = await self.decoded(decode_completion_request)
            self.report_ignored(COMPLETION.sent_without_effect(request))
            reading = await self.compute(read_completion_request, request)
            conversation = await self.prepared(reading)
            writer = CompletionWriter(request.model or "", request.stream_options)
            await self.answer(conversation, writer, stream=bool(request.stream))
