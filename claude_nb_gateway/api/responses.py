"""`/v1/responses`: create, retrieve, delete, cancel, list input items."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from ..claude_code.turns import Conversation
from ..errors import InvalidRequest
from ..wire.attachments import Images
from ..wire.conversation import Message, Reading
from ..wire.responses.events import ResponseWriter, response_to
from ..wire.responses.request import (
    Item,
    decode_response_request,
    items_of,
    read_messages,
    read_request,
    response_fields_without_effect,
)
from ..wire.responses.tools import read_tools
from ..wire.responses.types import (
    InputItemList,
    Response,
    ResponseDeleted,
    ResponseRequest,
)
from .answering import AnsweringHandler
from .auth import allowed_to
from .base import GatewayHandler
from .errors import http_errors
from .pages import list_of, page_asked_of
from .stored_responses import StoredResponse


class Asked(NamedTuple):
    """What a request asks: the response to make, its writer, and the question."""

    stored: StoredResponse
    writer: ResponseWriter
    reading: Reading


# With so many stored items a request counts as large.
MANY_ITEMS = 100


class ResponsesHandler(AnsweringHandler):
    """Answers, streamed, whole, or in the background."""

    endpoint = "responses"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the input in the body."""
        with self.only_for_its_reader(), http_errors():
            request = await self.decoded(decode_response_request)
            await self.respond(request, len(self.request.body))

    @property
    def names(self) -> tuple[str, ...]:
        """The principals whose responses the caller may use."""
        return (self.principal,)

    def keeper(self, response: Response) -> str | None:
        """The principal for whom `response` is kept; None if it is not kept."""
        return self.principal if response.store else None

    async def items(
        self, request: ResponseRequest
    ) -> tuple[StoredResponse | None, list[Item], list[Item]]:
        """The previous response of `request`, the items so far, and the new items.

        Raises
        ------
        InvalidRequest
        """
        previous = self._previous(request.previous_response_id)
        before = [] if previous is None else previous.conversation
        self.is_large = self.is_large or len(before) > MANY_ITEMS
        sent = await self.compute(items_of, request)
        return previous, before, self.services.responses.resolved(sent, self.names)

    async def messages(
        self,
        request: ResponseRequest,
        before: Sequence[Item],
        items: Sequence[Item],
    ) -> tuple[list[Message], Images]:
        """The messages of the items `before` and `items`, and the images to fetch.

        Raises
        ------
        InvalidRequest
        """
        opened, principal = self.services.compactions.opened, self.principal
        before = await opened(before, principal, "previous_response_id")
        items = await opened(items, principal, "input[{}]")
        images = Images()
        read = await self.compute(read_messages, request, before, items, images)
        return read, images

    async def read(self, request: ResponseRequest) -> Asked:
        """Read `request`.

        Raises
        ------
        InvalidRequest
        """
        tools = read_tools(request.tools)
        ignored = response_fields_without_effect(request)
        self.report_ignored([*ignored, *tools.left_out])
        previous, before, items = await self.items(request)
        messages, images = await self.messages(request, before, items)
        reading = await self.compute(read_request, request, tools, messages, images)
        response = response_to(request, tools)
        reasoning = request.reasoning
        shown = reasoning and (reasoning.summary or reasoning.generate_summary)
        writer = ResponseWriter(response, shows_thoughts=bool(shown), tools=tools)
        keeper = self.keeper(response) or ""
        stored = StoredResponse(keeper, response, previous, items)
        return Asked(stored, writer, reading)

    async def respond(
        self, request: ResponseRequest, size_bytes: int
    ) -> StoredResponse:
        """Answer `request`, whose body had `size_bytes`."""
        asked = await self.read(request)
        conversation = await self.prepared(asked.reading)
        await self._make(request, asked, conversation, size_bytes)
        return asked.stored

    def _previous(self, response_id: str | None) -> StoredResponse | None:
        if response_id is None:
            return None
        field = "previous_response_id"
        stored = self.services.responses.get(response_id, self.names, field)
        status = stored.response.status
        if status not in ("completed", "incomplete"):
            raise InvalidRequest(f"`{field}`: that response is {status}.", param=field)
        return stored

    async def _make(
        self,
        request: ResponseRequest,
        asked: Asked,
        conversation: Conversation,
        size_bytes: int,
    ) -> None:
        store, stored, writer = self.services.responses, asked.stored, asked.writer
        if request.background:
            stored.response.status = "queued"
            store.add(stored, size_bytes)
            # An error becomes part of the response, so nobody has to wait for it.
            making = store.run(
                stored, self._in_background(stored, writer, conversation)
            )
            held = self.keep_body()
            making.add_done_callback(lambda _: held.release())
            self.send_json(stored.response)
            return
        if stored.principal:
            stored.task = asyncio.current_task()
            store.add(stored, size_bytes)
        try:
            streamed = bool(request.stream)
            await self.answer(conversation, writer, stream=streamed)
        except asyncio.CancelledError:
            if not stored.cancelled:
                writer.cancel()
                raise
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            await self._finish_cancelled(writer, streamed)
        except Exception:
            # The client gets an HTTP status and never learns the id.
            store.forget(stored)
            raise
        finally:
            self.services.responses.settle(stored)

    async def _finish_cancelled(self, writer: ResponseWriter, streamed: bool) -> None:
        if not streamed:
            writer.cancel()
            self.send_json(writer.whole())
            return
        stream = self.event_stream(writer)
        stream.close()
        await stream.send(writer.cancel())
        await self.end_stream(stream, writer)

    async def _in_background(
        self,
        stored: StoredResponse,
        writer: ResponseWriter,
        conversation: Conversation,
    ) -> None:
        try:
            await self.fill(writer, conversation)
        except asyncio.CancelledError:
            writer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is kept, in the response
            writer.fail(self.error_midway(error))
        finally:
            self.services.responses.settle(stored)


class ResponseHandler(GatewayHandler):
    """One response."""

    @allowed_to("read")
    async def get(self, response_id: str) -> None:
        """Send the response as it is now."""
        with http_errors():
            if self.get_query_argument("stream", "false") == "true":
                raise InvalidRequest(
                    "`stream`: A response cannot be streamed again: leave it out.",
                    param="stream",
                )
            stored = self.services.responses.get(response_id, [self.principal])
            self.send_json(stored.response)

    @allowed_to("write")
    async def delete(self, response_id: str) -> None:
        """Forget the response."""
        with http_errors():
            self.services.responses.delete(response_id, self.principal)
            self.send_json(ResponseDeleted(response_id))


class CancelResponseHandler(GatewayHandler):
    """Cancels a response."""

    @allowed_to("execute")
    async def post(self, response_id: str) -> None:
        """Stop making the response."""
        with http_errors():
            cancel = self.services.responses.cancel
            self.send_json(await cancel(response_id, self.principal))


class InputItemsHandler(GatewayHandler):
    """The input items of a response."""

    @allowed_to("read")
    async def get(self, response_id: str) -> None:
        """List the items, the last first."""
        with http_errors():
            stored = self.services.responses.get(response_id, [self.principal])
            items = [
                {"id": f"item_{response_id[-16:]}_{index}", **item}
                for index, item in enumerate([*stored.before, *stored.items])
            ]
            page = page_asked_of(self)
            if not page.ascending:
                items.reverse()
            part, more = page.part_of(items)
            self.send_json(list_of(InputItemList, part, has_more=more))
