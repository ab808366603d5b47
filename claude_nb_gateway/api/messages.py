"""`POST /v1/messages` and `/v1/messages/count_tokens`, for Anthropic's clients."""

from __future__ import annotations

from ..turn.asking import count_tokens
from ..wire.messages.events import MessageWriter, error_event
from ..wire.messages.request import (
    COUNT_TOKENS,
    MESSAGES,
    fields_without_effect,
    read_request,
    shows_thoughts,
    tools_left_out,
)
from ..wire.messages.types import TokenCount
from .answering import AnsweringHandler
from .auth import allowed_to
from .base import REQUEST_ID_HEADER
from .errors import error_of, http_errors


class AnthropicHandler(AnsweringHandler):
    """Base of the handlers with errors in Anthropic's shape."""

    def set_default_headers(self) -> None:
        """Send the request id also in the header that Anthropic's clients read."""
        super().set_default_headers()
        self.set_header("Request-Id", self.request_id)

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return str(self._headers[REQUEST_ID_HEADER])

    def send_error_body(self, exception: BaseException | None, status: int) -> None:
        """Finish with the error in Anthropic's shape."""
        body = error_of(exception, status)
        self.send_json(error_event(body, status, self.request_id))


class MessagesHandler(AnthropicHandler):
    """Answers, streamed or whole."""

    endpoint = "messages"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the messages in the body."""
        with self.only_for_its_reader(), http_errors():
            request = await self.decoded(MESSAGES.decode)
            ignored = MESSAGES.sent_without_effect(request)
            ignored += fields_without_effect(request)
            self.report_ignored([*ignored, *tools_left_out(request)])
            reading = await self.compute(read_request, request)
            conversation = await self.prepared(reading)
            writer = MessageWriter(
                request.model or "",
                self.request_id,
                shows_thoughts=shows_thoughts(request),
            )
            await self.answer(conversation, writer, stream=bool(request.stream))


class CountTokensHandler(AnthropicHandler):
    """Estimates tokens as Claude Code does; the model is not asked."""

    endpoint = "messages.count_tokens"

    @allowed_to("execute")
    async def post(self) -> None:
        """Count the tokens of the messages in the body."""
        with self.only_for_its_reader(), http_errors():
            request = await self.decoded(COUNT_TOKENS.decode)
            ignored = COUNT_TOKENS.sent_without_effect(request)
            ignored += fields_without_effect(request)
            self.report_ignored([*ignored, *tools_left_out(request)])
            reading = await self.compute(read_request, request)
            conversation = await self.prepared(reading)
            counted = await count_tokens(self.services.manager, conversation)
            self.send_json(TokenCount(counted))
