"""`/v1/responses/compact`: replace a conversation by a summary."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from ..errors import UpstreamError
from ..wire.responses.compaction import (
    COMPACT,
    CompactedResponse,
    CompactionItem,
    CompactRequest,
    decode_compact_request,
    divided,
    summary_request,
)
from ..wire.responses.events import ResponseWriter, response_to
from ..wire.responses.request import Item
from ..wire.responses.tools import read_tools
from ..wire.responses.types import OutputMessage, ResponseRequest, ResponseUsage
from .answering import Scope
from .auth import allowed_to
from .errors import http_errors
from .responses import ResponsesHandler


class CompactHandler(ResponsesHandler):
    """Makes an item with the model's summary, which stands for the conversation.

    System and developer messages stay as they are.
    """

    @allowed_to("execute")
    async def post(self) -> None:
        """Summarize the conversation in the body."""
        with self.only_for_its_reader(), http_errors():
            request = await self.decoded(decode_compact_request)
            self.report_ignored(COMPACT.sent_without_effect(request))
            self.send_json(await self._compacted(request))

    async def scope(
        self, project_id: str | None = None, session_id: str | None = None
    ) -> Scope:
        """No project: a summary uses no tools. The caller's rights are checked."""
        await super().scope(project_id, session_id)
        return Scope()

    async def _compacted(self, request: CompactRequest) -> CompactedResponse:
        alone = request.input is None and request.previous_response_id is not None
        asked = ResponseRequest(
            input=[] if alone else request.input,
            model=request.model,
            instructions=request.instructions,
            previous_response_id=request.previous_response_id,
        )
        _, before, items = await self.items(asked)
        kept_before, before = await self.compute(divided, before)
        kept, items = await self.compute(divided, items)
        summary, usage = await self._summary(asked, before, items)
        sealed = await self.services.compactions.seal(self.principal, summary)
        return CompactedResponse(
            id=f"resp_{uuid.uuid4().hex}",
            created_at=int(time.time()),
            output=[
                *kept_before,
                *kept,
                CompactionItem(f"cmp_{uuid.uuid4().hex}", sealed),
            ],
            usage=usage,
        )

    async def _summary(
        self, asked: ResponseRequest, before: Sequence[Item], items: Sequence[Item]
    ) -> tuple[str, ResponseUsage]:
        messages, images = await self.messages(asked, before, items)
        reading = await self.compute(summary_request, asked.model, messages, images)
        conversation = await self.prepared(reading)
        tools = read_tools(None)
        writer = ResponseWriter(response_to(asked, tools), tools=tools)
        await self.fill(writer, conversation)
        made = writer.whole()
        text = "".join(
            part.text
            for item in made.output
            if isinstance(item, OutputMessage)
            for part in item.content
        )
        if made.status != "completed" or made.usage is None or not text.strip():
            raise UpstreamError(
                "The model made no whole summary of the conversation: try again, or "
                "name another model.",
                status=None,
            )
        return text, made.usage
