"""The responses that can be asked for again, in memory."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from .errors import InvalidRequest, ResponseNotFound
from .openai.response_request import Item
from .openai.response_types import Response

#: A client that does not read its stream is not waited for any longer.
CANCEL_SECONDS = 10


@dataclass
class StoredResponse:
    """A response with the items it answers.

    `before` are the items of the conversation that it went on with, `items` those
    that its request brought. While it is made, `task` is who makes it.
    """

    principal: str
    response: Response
    before: Sequence[Item]
    items: Sequence[Item]
    task: asyncio.Task[Any] | None = None
    cancelled: bool = False
    used: float = 0.0
    size_bytes: int = 0

    @property
    def conversation(self) -> list[Item]:
        """All items so far, those of the answer included."""
        output = [msgspec.to_builtins(item) for item in self.response.output]
        return [*self.before, *self.items, *output]


class ResponseStore(LoggingConfigurable):
    """Keeps responses for `previous_response_id` and for who asks for them by id."""

    max_responses = Integer(
        1_000, config=True, help="So many responses are kept, the last used ones."
    )
    max_bytes = Integer(
        128 * 2**20, config=True, help="So much of requests is kept with them."
    )
    retention_seconds = Float(
        24 * 3600.0, config=True, help="A response not used for so long is forgotten."
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stored: OrderedDict[str, StoredResponse] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0

    def add(self, stored: StoredResponse, size_bytes: int) -> None:
        """Keep `stored`, whose request had `size_bytes`."""
        stored.used = time.monotonic()
        stored.size_bytes = size_bytes
        self._stored[stored.response.id] = stored
        self._bytes += size_bytes
        self._forget_old()

    def get(
        self, response_id: str, principals: Collection[str], param: str = ""
    ) -> StoredResponse:
        """The response `response_id` of one of `principals`.

        Raises
        ------
        ResponseNotFound
            There is none, or none any more, or it is another's; the error is about
            the field `param`.
        """
        self._forget_old()
        stored = self._stored.get(response_id)
        if stored is None or stored.principal not in principals:
            raise ResponseNotFound(response_id, param or None)
        stored.used = time.monotonic()
        self._stored.move_to_end(response_id)
        return stored

    def delete(self, response_id: str, principal: str) -> None:
        """Forget the response; one that is being made is cancelled."""
        stored = self.get(response_id, [principal])
        self.forget(stored)
        if stored.task is not None:
            stored.cancelled = True
            stored.task.cancel()

    def forget(self, stored: StoredResponse) -> None:
        """Keep `stored` no longer, if it was kept."""
        if stored.response.id in self._stored:
            self._drop(stored.response.id)

    async def cancel(self, response_id: str, principal: str) -> Response:
        """Stop the making of a response, and wait until it has stopped.

        Raises
        ------
        InvalidRequest
            It is not being made.
        """
        stored = self.get(response_id, [principal])
        if stored.task is None:
            raise InvalidRequest(
                f"The response {response_id!r} is {stored.response.status}: there is "
                "nothing to cancel."
            )
        stored.cancelled = True
        stored.task.cancel()
        await asyncio.wait([stored.task], timeout=CANCEL_SECONDS)
        return stored.response

    def resolved(
        self, items: Sequence[Item], principals: Collection[str]
    ) -> list[Item]:
        """`items` with those that are referred to in the place of references."""
        wanted = {
            str(item.get("id"))
            for item in items
            if item.get("type") == "item_reference"
        }
        found: dict[str, Item] = {}
        for stored in self._stored.values() if wanted else ():
            if stored.principal in principals:
                for item in stored.response.output:
                    if item.id in wanted:
                        found[item.id] = msgspec.to_builtins(item)
        return [
            found.get(str(item.get("id")), item)
            if item.get("type") == "item_reference"
            else item
            for item in items
        ]

    def run(self, stored: StoredResponse, work: Coroutine[Any, Any, None]) -> None:
        """Make a response in the background, with `work`."""
        stored.task = task = asyncio.create_task(work)
        # One that is deleted is still to be waited for.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop whatever is being made in the background."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _forget_old(self) -> None:
        deadline = time.monotonic() - self.retention_seconds
        for response_id, stored in list(self._stored.items()):
            too_many = len(self._stored) > self.max_responses
            if stored.used >= deadline and not (
                too_many or self._bytes > self.max_bytes
            ):
                return
            if stored.task is None:
                self._drop(response_id)

    def _drop(self, response_id: str) -> None:
        self._bytes -= self._stored.pop(response_id).size_bytes
