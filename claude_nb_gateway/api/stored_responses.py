"""The responses that can be asked for again, in memory."""

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
from ..errors import InvalidRequest, ResponseNotFound, quoted
from ..wire.responses.request import Item
from ..wire.responses.types import Response

#: What a response takes beside its JSON.
OVERHEAD_BYTES = 2_048

#: A few short references may not become more than this.
MOST_REFERRED_BYTES = 32 * 2**20

#: A client that does not read its stream is not waited for any longer.
CANCEL_SECONDS = 10


class StoredResponse:
    """A response with the items it answers.

    `previous` is the response that its conversation went on from, `items` those that
    its request brought. While it is made, `task` is who makes it; afterwards it is
    kept as JSON, whose size is known and which is a fraction of what objects take.
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
        #: How many keep it alive: the store, and responses that go on from it.
        self.users = 0
        self._live: tuple[Response, Sequence[Item]] | None = (response, items)
        self._response = b""
        self._items = b""

    @property
    def response(self) -> Response:
        """The response; its changes are kept as long as it is made."""
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
        """The items of the conversation that this response went on from."""
        return [] if self.previous is None else self.previous.conversation

    @property
    def conversation(self) -> list[Item]:
        """All items so far, those of the answer included."""
        line: list[StoredResponse] = []
        stored: StoredResponse | None = self
        while stored is not None:
            line.append(stored)
            stored = stored.previous
        return [item for one in reversed(line) for item in (*one.items, *one.output)]

    def freeze(self) -> None:
        """Keep it as JSON from now on; it is made."""
        if self._live is not None:
            response, items = self._live
            self._response = encode(response)
            self._items = encode(items)
            self._live = None
        self.size_bytes = OVERHEAD_BYTES + len(self._response) + len(self._items)


class ResponseStore(LoggingConfigurable):
    """Keeps responses for `previous_response_id` and for who asks for them by id."""

    max_responses = Integer(
        1_000, config=True, help="So many responses are kept, the last used ones."
    )
    max_bytes = Integer(
        128 * 2**20,
        config=True,
        help="So many bytes all of them have together, with what they answer.",
    )
    retention_seconds = Float(
        24 * 3600.0, config=True, help="A response not used for so long is forgotten."
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stored: OrderedDict[str, StoredResponse] = OrderedDict()
        self._made: dict[tuple[str, str], StoredResponse] = {}
        self._being_made: dict[str, StoredResponse] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0

    @property
    def kept_bytes(self) -> int:
        """How much is kept, also of responses that only others still need."""
        return self._bytes

    def add(self, stored: StoredResponse, size_bytes: int) -> None:
        """Keep `stored`, which is being made and whose request had `size_bytes`."""
        stored.used = time.monotonic()
        stored.size_bytes = size_bytes
        self._stored[stored.id] = self._being_made[stored.id] = stored
        self._hold(stored)
        self._forget_old()

    def settle(self, stored: StoredResponse) -> None:
        """Nobody makes `stored` any more: it is as it will be."""
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
        if stored.id in self._stored:
            self._drop(stored.id)

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
        """`items` with those that are referred to in the place of references.

        Raises
        ------
        InvalidRequest
            They would become too much.
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
        # A dictionary, since their order is that of the references.
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
        """Make a response in the background, with `work`."""
        stored.task = task = asyncio.create_task(work)
        # One that is deleted is still to be waited for.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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
