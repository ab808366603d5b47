"""`POST /v1/chat/completions`."""

from __future__ import annotations

from ..wire.chat.events import ChatWriter
from ..wire.chat.request import decode_request, fields_without_effect, read_request
from .answering import AnsweringHandler
from .auth import allowed_to
from .errors import http_errors


class ChatCompletionsHandler(AnsweringHandler):
    """Answers a conversation, streamed or whole."""

    endpoint = "chat.completions"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the conversation in the body."""
        with self.only_for_its_reader(), http_errors():
            request = await self.decoded(decode_request)
            self.report_ignored(fields_without_effect(request))
            reading = await self.compute(read_request, request)
            conversation = await self.prepared(
                reading, request.project_id, request.session_id
            )
            streamed = bool(request.stream)
            writer = ChatWriter(
                request.model or "", request.stream_options, streamed=streamed
            )
            await self.answer(conversation, writer, stream=streamed)
