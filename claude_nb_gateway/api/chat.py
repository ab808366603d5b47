"""`POST /v1/chat/completions`."""

from __future__ import annotations

from ..wire.chat.events import ChatWire
from ..wire.chat.request import decode_request, fields_without_effect, stop_sequences
from .answering import AnsweringHandler
from .auth import allowed_to
from .errors import http_errors


class ChatCompletionsHandler(AnsweringHandler):
    """Answers a conversation, streamed or whole, from the same chunks."""

    endpoint = "chat.completions"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the conversation in the body."""
        with self.only_for_its_reader(), http_errors():
            request = await self.decoded(decode_request)
            self.report_ignored(fields_without_effect(request))
            stop = stop_sequences(request.stop)
            conversation, builder = await self.prepared(request, stop)
            streamed = bool(request.stream)
            wire = ChatWire(builder, streamed=streamed)
            await self.answer(conversation, builder, wire, stream=streamed)
