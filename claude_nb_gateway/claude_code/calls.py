"""The calls of the client's functions in a session, until they have their results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from . import protocol
from .protocol import Json, Message
from .tools import Call, response_to
from .turns import ContentBlock


class ClientCalls:
    """Brings the CLI's calls and the client's results together, in whatever order.

    Parameters
    ----------
    reply:
        Sends a message to the CLI.
    """

    def __init__(self, reply: Callable[[Json], None]) -> None:
        #: The ids of the calls whose results the turn waits for.
        self.awaited: frozenset[str] = frozenset()
        #: Number of calls in this turn.
        self.count = 0
        self._reply = reply
        self._calls: dict[str, Call] = {}
        self._results: dict[str, ContentBlock] = {}
        self._used_ids: set[str] = set()
        self._last_message_id = ""

    def begin_turn(self) -> None:
        """Count the calls of a new turn."""
        self.count = 0

    def seed(self, calls: Iterable[str]) -> None:
        """Note the ids of calls in the history."""
        self._used_ids.update(calls)

    def has_used(self, calls: Sequence[str]) -> bool:
        """Whether an id in `calls` was used before, or is there twice.

        The CLI drops the result of such a call.
        """
        return len(self._used_ids.union(calls)) < len(self._used_ids) + len(calls)

    def wait_for(self, message_id: str, calls: Collection[str]) -> None:
        """The turn rests after the model's message `message_id` with `calls`."""
        self.awaited = frozenset(calls)
        self.count += len(calls)
        self._used_ids.update(calls)
        self._last_message_id = message_id

    def called(self, call: Call) -> None:
        """The CLI waits for the result of `call`."""
        self._calls[call.tool_use_id] = call
        self._send_results()

    def answer(self, results: Iterable[ContentBlock]) -> None:
        """Send `results`, each as soon as the CLI asks for it; the turn goes on."""
        self.awaited = frozenset()
        self._results.update({block["tool_use_id"]: block for block in results})
        self._send_results()

    def forget(self) -> None:
        """Wait for no results any more."""
        self.awaited = frozenset()

    def refuse(self, calls: Iterable[str], reason: str) -> None:
        """Answer with `reason` the calls that the client does not get."""
        content = [{"type": "text", "text": reason}]
        self._results.update({call: {"content": content} for call in calls})
        self._send_results()

    def after_calls(self, batch: list[Message]) -> list[Message]:
        """What of `batch` is new to a client that has seen the message with its calls.

        The CLI may still repeat that message when its results are there.
        """
        if not self._last_message_id:
            return batch
        for position, message in enumerate(batch):
            if _is_new(message, self._last_message_id):
                self._last_message_id = ""
                return batch[position:]
        return [m for m in batch if isinstance(m, protocol.System)]

    def _send_results(self) -> None:
        # The CLI asks for results in any order, and for some only after others.
        for tool_use_id in self._calls.keys() & self._results.keys():
            result = self._results.pop(tool_use_id)
            self._reply(response_to(self._calls.pop(tool_use_id), result))


def _is_new(message: Message, last_message_id: str) -> bool:
    """Whether `message` belongs to what follows the model's last message."""
    if isinstance(message, protocol.StreamEvent):
        return isinstance(message.event, protocol.MessageStart)
    if isinstance(message, protocol.Assistant):
        return message.message.id != last_message_id
    return isinstance(message, protocol.Result)
