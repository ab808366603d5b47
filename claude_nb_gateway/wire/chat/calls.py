"""From calls and their results in a history to those that the CLI takes. Pure.

Clients use ids again, or empty ones; the CLI drops a call whose id it has seen before,
and its result. So here each call has an id of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Sequence

from ...claude_code.tools import AGAIN, name_for_cli, parsed_input
from ...claude_code.turns import ContentBlock
from ...errors import InvalidRequest, quoted
from ..fields import check_depth, too_deep
from .types import ToolCall

# What the Messages API takes as the id of a call.
_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")

_MOST_NAMED = 5


class CallIds:
    """The ids of all calls of a conversation, in order.

    What an id becomes depends on those before it alone, so that a conversation that
    goes on keeps them.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._uses: defaultdict[str, int] = defaultdict(int)

    def next(self, client_id: str) -> str:
        """The id of the next call, which is `client_id` if it can be."""
        legal = _legal(client_id)
        unique = legal
        while unique in self._taken:
            self._uses[legal] += 1
            unique = f"{legal}{AGAIN}{self._uses[legal] + 1}"
        self._taken.add(unique)
        return unique


def _legal(client_id: str) -> str:
    if _LEGAL_ID.fullmatch(client_id):
        return client_id
    return "toolu_" + hashlib.blake2b(client_id.encode(), digest_size=12).hexdigest()


class Calls:
    """The calls of one of the assistant's messages, and the results of them so far.

    Parameters
    ----------
    calls:
        As the client has them.
    ids:
        Those of all calls of the conversation.
    path:
        The name of the message, for errors.
    """

    def __init__(self, calls: Sequence[ToolCall], ids: CallIds, path: str) -> None:
        self.blocks: list[ContentBlock] = [
            _tool_use(call, ids, f"{path}.tool_calls[{index}]")
            for index, call in enumerate(calls)
        ]
        self._path = path
        self._results: list[ContentBlock | None] = [None] * len(calls)
        self._awaited: defaultdict[str, deque[int]] = defaultdict(deque)
        for position, call in enumerate(calls):
            self._awaited[call.id].append(position)

    def add_result(
        self, client_id: str, content: list[ContentBlock], *, failed: bool, path: str
    ) -> None:
        """Take the result, from the message at `path`, of the call with this id.

        Of several with the same id it is the first that still waits.

        Raises
        ------
        InvalidRequest
            No such call waits for a result.
        """
        awaited = self._awaited.get(client_id)
        if not awaited:
            raise InvalidRequest(
                f"`{path}.tool_call_id`: no call {quoted(client_id)} of the "
                "assistant's message before it waits for a result.",
                param=f"{path}.tool_call_id",
            )
        position = awaited.popleft()
        block: ContentBlock = {
            "type": "tool_result",
            "tool_use_id": self.blocks[position]["id"],
            "content": content,
        }
        self._results[position] = block | {"is_error": True} if failed else block

    def results(self) -> list[ContentBlock]:
        """The results of all calls, in the order of the calls.

        Raises
        ------
        InvalidRequest
            One is missing.
        """
        missing = [quoted(i) for i, positions in self._awaited.items() if positions]
        if missing:
            more = ", …" if len(missing) > _MOST_NAMED else ""
            raise InvalidRequest(
                f"`{self._path}.tool_calls`: each call must be answered by a tool "
                "message right after it. Without an answer: "
                f"{', '.join(missing[:_MOST_NAMED])}{more}.",
                param=f"{self._path}.tool_calls",
            )
        return [result for result in self._results if result is not None]


def _tool_use(call: ToolCall, ids: CallIds, path: str) -> ContentBlock:
    where = f"{path}.function.arguments"
    try:
        arguments = parsed_input(call.function.arguments)
    except RecursionError:
        raise too_deep(where) from None
    check_depth(arguments, where)
    return {
        "type": "tool_use",
        "id": ids.next(call.id),
        "name": name_for_cli(call.function.name),
        "input": arguments,
    }
