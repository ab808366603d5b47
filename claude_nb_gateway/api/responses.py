"""`/v1/responses`: create, retrieve, delete, cancel, list input items."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from ..claude_code.turns import Conversation
from ..errors import InvalidRequest
from ..wire.chat.events import ChunkBuilder
from ..wire.chat.types import ChatCompletionRequest
from ..wire.fields import Names, named_as
from ..wire.responses.events import ResponseWire, response_to
from ..wire.responses.request import (
    NAMES,
    Item,
    chat_request,
    decode_response_request,
    items_of,
    response_fields_without_effect,
)
from ..wire.responses.tools import ClientTools, read_tools
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
    """What a request asks for: a response, and a chat for which it is made."""

    stored: StoredResponse
    wire: ResponseWire
    tools: ClientTools
    chat: ChatCompletionRequest
    paths: list[str]


# So many items that are kept here make a request large, whatever it brings itself.
MANY_ITEMS = 100


class ResponsesHandler(AnsweringHandler):
    """Answers, streamed, whole, or in the background."""

    endpoint = "responses"

    @allowed_to("execute")
    async def post(self) -> None:
        """Answer the input in the body."""
        with self.only_for_its_reader(), http_errors(), named_as(NAMES):
            request = await self.decoded(decode_response_request)
            await self.respond(request, len(self.request.body))

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which the caller finds responses."""
        return (self.principal,)

    def keeper(self, response: Response) -> str | None:
        """The name under which `response` is kept, None if it is not."""
        return self.principal if response.store else None

    async def items(
        self, request: ResponseRequest
    ) -> tuple[StoredResponse | None, list[Item], list[Item]]:
        """The response that `request` goes on from, its conversation's items, and
        those that the request brings.

        Raises
        ------
        InvalidRequest
        """
        previous = self._previous(request.previous_response_id)
        before = [] if previous is None else previous.conversation
        self.is_large = self.is_large or len(before) > MANY_ITEMS
        sent = await self.compute(items_of, request)
        return previous, before, self.services.responses.resolved(sent, self.names)

    async def chat(
        self,
        request: ResponseRequest,
        tools: ClientTools,
        before: Sequence[Item],
        items: Sequence[Item],
    ) -> tuple[ChatCompletionRequest, list[str]]:
        """What a chat is asked for `request`, and what its messages are called here.

        Raises
        ------
        InvalidRequest
        """
        opened, principal = self.services.compactions.opened, self.principal
        before = await opened(before, principal, "previous_response_id")
        items = await opened(items, principal, "input[{}]")
        with named_as(tools.names):
            return await self.compute(chat_request, request, tools, before, items)

    async def read(self, request: ResponseRequest) -> Asked:
        """What `request` asks for.

        Raises
        ------
        InvalidRequest
        """
        tools = read_tools(request.tools)
        ignored = response_fields_without_effect(request)
        self.report_ignored([*ignored, *tools.left_out])
        previous, before, items = await self.items(request)
        chat, paths = await self.chat(request, tools, before, items)
        with named_as(tools.names):
            response = response_to(request, tools)
        reasoning = request.reasoning
        shown = reasoning and (reasoning.summary or reasoning.generate_summary)
        wire = ResponseWire(response, shows_thoughts=bool(shown), tools=tools)
        keeper = self.keeper(response) or ""
        stored = StoredResponse(keeper, response, previous, items)
        return Asked(stored, wire, tools, chat, paths)

    async def respond(
        self, request: ResponseRequest, size_bytes: int
    ) -> StoredResponse:
        """Answer `request`, which came in so many bytes."""
        asked = await self.read(request)
        with named_as(asked.tools.names):
            names: Names = [*asked.tools.names, *NAMES]
            prepared = await self.prepared(asked.chat, (), asked.paths, names)
            await self._make(request, asked.stored, asked.wire, *prepared, size_bytes)
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
        stored: StoredResponse,
        wire: ResponseWire,
        conversation: Conversation,
        builder: ChunkBuilder,
        size_bytes: int,
    ) -> None:
        store = self.services.responses
        if request.background:
            stored.response.status = "queued"
            store.add(stored, size_bytes)
            # Its errors are the response's own, so they need no listener.
            making = store.run(
                stored, self._in_background(stored, wire, conversation, builder)
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
            await self.answer(conversation, builder, wire, stream=streamed)
        except asyncio.CancelledError:
            if not stored.cancelled:
                wire.cancel()
                raise
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            await self._finish_cancelled(wire, streamed)
        except Exception:
            # The answer is an HTTP status, and nobody has learnt of an id.
            store.forget(stored)
            raise
        finally:
            self.services.responses.settle(stored)

    async def _finish_cancelled(self, wire: ResponseWire, streamed: bool) -> None:
        if not streamed:
            wire.cancel()
            self.send_json(wire.whole())
            return
        stream = self.event_stream(wire)
        stream.close()
        await stream.send(wire.cancel())
        await self.end_stream(stream, wire)

    async def _in_background(
        self,
        stored: StoredResponse,
        wire: ResponseWire,
        conversation: Conversation,
        builder: ChunkBuilder,
    ) -> None:
        try:
            await self.fill(wire, conversation, builder)
        except asyncio.CancelledError:
            wire.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is kept, in the response
            wire.fail(self.error_midway(error))
        finally:
            self.services.responses.settle(stored)


class ResponseHandler(GatewayHandler):
    """One response."""

    @allowed_to("read")
    async def get(self, response_id: str) -> None:
        """Give the response as it is now."""
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
    """The making of one response."""

    @allowed_to("execute")
    async def post(self, response_id: str) -> None:
        """Stop it."""
        with http_errors():
            cancel = self.services.responses.cancel
            self.send_json(await cancel(response_id, self.principal))


class InputItemsHandler(GatewayHandler):
    """What a response answers."""

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
