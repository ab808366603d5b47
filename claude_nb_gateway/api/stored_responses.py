"""The stored responses, in memory."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Coroutine, Sequence
from typing import Any

import msgspec
from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from ..claude_code.surrogates import encode
from ..claude_code.tasks import BackgroundTasks
from ..errors import InvalidRequest, ResponseNotFound, quoted
from ..wire.responses.request import Item
from ..wire.responses.types import Response

#: Memory that a response takes beside its JSON.
OVERHEAD_BYTES = 2_048

#: Maximum size of the items that the references of one request stand for.
MOST_REFERRED_BYTES = 32 * 2**20

#: Maximum time that a cancellation waits for the response to stop. It is needed for a
#: client that does not read its stream.
CANCEL_SECONDS = 10


class StoredResponse:
    """A response with the items it answers.

    While it is made, `task` is the task that makes it. Afterwards it is kept as JSON:
    its size is known, and it takes a fraction of the memory that objects take.

    Parameters
    ----------
    principal:
        The name under which it is kept; empty if it is not kept.
    response:
        The response; it changes while it is made.
    previous:
        The response that its conversation continued; None if it began one.
    items:
        The items of its request.
    """

    def __init__(
        self,
        principal: str,
        response: Response,
        previous: StoredResponse | None,
        items: Sequence[Item],
    ) -> None:
        self.id = response.id
        self.principal = principal
        self.previous = previous
        self.task: asyncio.Task[Any] | None = None
        self.cancelled = False
        self.used = 0.0
        self.size_bytes = 0
        self.item_ids: list[str] = []
        #: The number of those that need it: the store, and responses that continue it.
        self.users = 0
        self._live: tuple[Response, Sequence[Item]] | None = (response, items)
        self._response = b""
        self._items = b""

    @property
    def response(self) -> Response:
        """The response. Changes to it are kept only while it is made."""
        if self._live is not None:
            return self._live[0]
        return msgspec.json.decode(self._response, type=Response)

    @property
    def items(self) -> Sequence[Item]:
        """The items of the request."""
        if self._live is not None:
            return self._live[1]
        return msgspec.json.decode(self._items, type=list[Item])

    @property
    def output(self) -> list[Item]:
        """The items of the answer."""
        if self._live is not None:
            return [msgspec.to_builtins(item) for item in self._live[0].output]
        found: list[Item] = msgspec.json.decode(self._response)["output"]
        return found

    @property
    def before(self) -> list[Item]:
        """The items of the conversation that this response continued."""
        return [] if self.previous is None else self.previous.conversation

    @property
    def conversation(self) -> list[Item]:
        """All items so far, including those of the answer."""
        line: list[StoredResponse] = []
        stored: StoredResponse | None = self
        while stored is not None:
            line.append(stored)
            stored = stored.previous
        return [item for one in reversed(line) for item in (*one.items, *one.output)]

    def freeze(self) -> None:
        """Keep it as JSON from now on: it is complete."""
        if self._live is not None:
            response, items = self._live
            self._response = encode(response)
            self._items = encode(items)
            self._live = None
        self.size_bytes = OVERHEAD_BYTES + len(self._response) + len(self._items)


class ResponseStore(LoggingConfigurable):
    """Keeps responses for `previous_response_id` and for requests by their ids."""

    max_responses = Integer(
        1_000,
        config=True,
        help="""Maximum number of stored responses. The least recently used ones are
        forgotten first.""",
    )
    max_bytes = Integer(
        128 * 2**20,
        config=True,
        help="Maximum size of all stored responses together, including their input.",
    )
    retention_seconds = Float(
        24 * 3600.0,
        config=True,
        help="Time without use after which a stored response is forgotten.",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stored: OrderedDict[str, StoredResponse] = OrderedDict()
        self._made: dict[tuple[str, str], StoredResponse] = {}
        self._being_made: dict[str, StoredResponse] = {}
        self._tasks = BackgroundTasks(self.log)
        self._bytes = 0

    @property
    def kept_bytes(self) -> int:
        """The size of all kept responses, including those that only others need."""
        return self._bytes

    def add(self, stored: StoredResponse, size_bytes: int) -> None:
        """Keep `stored`, which is being made; its request had `size_bytes`."""
        stored.used = time.monotonic()
        stored.size_bytes = size_bytes
        self._stored[stored.id] = self._being_made[stored.id] = stored
        self._hold(stored)
        self._forget_old()

    def settle(self, stored: StoredResponse) -> None:
        """Take `stored` as complete: it does not change any more."""
        stored.task = None
        self._being_made.pop(stored.id, None)
        if stored.users:
            self._bytes -= stored.size_bytes
            stored.freeze()
            self._bytes += stored.size_bytes
            if stored.id in self._stored:
                stored.item_ids = [str(item.get("id")) for item in stored.output]
                for item_id in stored.item_ids:
                    self._made[stored.principal, item_id] = stored
            self._forget_old()

    def get(
        self, response_id: str, principals: Collection[str], param: str = ""
    ) -> StoredResponse:
        """The response `response_id` of one of `principals`.

        Raises
        ------
        ResponseNotFound
            There is none, it is forgotten, or it belongs to another principal. The
            error is about the field `param`.
        """
        self._forget_old()
        stored = self._stored.get(response_id)
        if stored is None or stored.principal not in principals:
            raise ResponseNotFound(response_id, param or None)
        stored.used = time.monotonic()
        self._stored.move_to_end(response_id)
        return stored

    def delete(self, response_id: str, principal: str) -> None:
        """Forget the response, and cancel it if it is being made.

        Raises
        ------
        ResponseNotFound
        """
        stored = self.get(response_id, [principal])
        self.forget(stored)
        if stored.task is not None:
            stored.cancelled = True
            stored.task.cancel()

    def forget(self, stored: StoredResponse) -> None:
        """Stop keeping `stored`, if it is kept."""
        if stored.id in self._stored:
            self._drop(stored.id)

    async def cancel(self, response_id: str, principal: str) -> Response:
        """Stop making a response, and wait until it has stopped.

        Raises
        ------
        ResponseNotFound
        InvalidRequest
            It is complete already.
        """
        stored = self.get(response_id, [principal])
        if stored.task is None:
            raise InvalidRequest(
                f"The response {quoted(response_id)} is {stored.response.status}: "
                "there is nothing to cancel."
            )
        stored.cancelled = True
        stored.task.cancel()
        await asyncio.wait([stored.task], timeout=CANCEL_SECONDS)
        return stored.response

    def resolved(
        self, items: Sequence[Item], principals: Collection[str]
    ) -> list[Item]:
        """`items`, each reference replaced by the item that it names.

        A reference to an item that is not found stays as it is.

        Raises
        ------
        InvalidRequest
            The items would be too large.
        """
        wanted = [
            str(item.get("id"))
            for item in items
            if item.get("type") == "item_reference"
        ]
        if not wanted:
            return list(items)
        referred = self._referred(wanted, principals)
        sizes = {name: len(encode(i)) for name, i in referred.items()}
        if sum(sizes.get(name, 0) for name in wanted) > MOST_REFERRED_BYTES:
            raise InvalidRequest(
                "`input`: what its items of type item_reference refer to has more than "
                f"{MOST_REFERRED_BYTES} bytes together: refer to less.",
                param="input",
            )
        return [
            referred.get(str(item.get("id")), item)
            if item.get("type") == "item_reference"
            else item
            for item in items
        ]

    def _referred(
        self, names: Sequence[str], principals: Collection[str]
    ) -> dict[str, Item]:
        # A dictionary keeps the order of the references.
        places = dict.fromkeys(self._being_made.values())
        for name in names:
            for principal in principals:
                if (stored := self._made.get((principal, name))) is not None:
                    places[stored] = None
        wanted, found = set(names), {}
        for stored in places:
            if stored.principal in principals:
                for item in stored.output:
                    if item.get("id") in wanted:
                        found[str(item["id"])] = item
        return found

    def run(
        self, stored: StoredResponse, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        """Run `work`, which makes `stored`, in the background; returns its task."""
        # `close` waits for it even if the response is deleted before.
        stored.task = self._tasks.start(work)
        return stored.task

    async def close(self) -> None:
        """Stop all work in the background, and wait until it has stopped."""
        await self._tasks.cancel()

    def _forget_old(self) -> None:
        deadline = time.monotonic() - self.retention_seconds
        for response_id, stored in list(self._stored.items()):
            too_many = len(self._stored) > self.max_responses
            if stored.used >= deadline and not (
                too_many or self._bytes > self.max_bytes
            ):
                return
            if response_id not in self._being_made:
                self._drop(response_id)

    def _drop(self, response_id: str) -> None:
        stored = self._stored.pop(response_id)
        self._being_made.pop(response_id, None)
        for item_id in stored.item_ids:
            self._made.pop((stored.principal, item_id), None)
        self._let_go(stored)

    def _hold(self, stored: StoredResponse) -> None:
        held: StoredResponse | None = stored
        while held is not None:
            held.users += 1
            if held.users > 1:
                return
            self._bytes += held.size_bytes
            held = held.previous

    def _let_go(self, stored: StoredResponse) -> None:
        held: StoredResponse | None = stored
        while held is not None:
            held.users -= 1
            if held.users:
                return
            self._bytes -= held.size_bytes
            held = held.previous
