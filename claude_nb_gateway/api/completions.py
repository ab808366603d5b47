"""`POST /v1/completions`, for clients that know nothing newer."""

from __future__ import annotations

from ..wire.chat.completions import COMPLETION, NAMES, CompletionWire, chat_request
from ..wire.chat.request import check_stream_options, stop_sequences
from ..wire.fields import named_as
from .answering import AnsweringHandler
from .auth import allowed_to
from .errors import http_errors


class CompletionsHandler(AnsweringHandler):
    """Answers a prompt, streamed or whole."""

    endpoint = "completions"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the prompt in the body."""
        with self.only_for_its_reader(), http_errors(), named_as(NAMES):
            request = await self.decoded(COMPLETION.decode)
            check_stream_options(request)
            self.report_ignored(COMPLETION.sent_without_effect(request))
            stop = stop_sequences(request.stop)
            conversation, builder = await self.prepared(
                chat_request(request), stop, names=NAMES
            )
            streamed = bool(request.stream)
            wire = CompletionWire(builder)
            await self.answer(conversation, builder, wire, stream=streamed)
