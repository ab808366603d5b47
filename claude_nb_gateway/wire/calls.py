"""Function calls in a history and their results, as the CLI accepts them. Pure.

Some clients use an id twice, or an empty one. The CLI drops a call, and its result, if
it has seen the id before. So this module gives each call an id of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..claude_code.tools import REPEATED_ID_MARK, name_for_cli, parsed_input
from ..claude_code.turns import ContentBlock
from ..errors import InvalidRequest, quoted
from .fields import check_depth, too_deep

# The ids that the Messages API accepts.
_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")

_MOST_NAMED = 5


@dataclass(frozen=True)
class Call:
    """A call that the model made before.

    Parameters
    ----------
    id, name:
        As the client has them.
    arguments:
        JSON as text, or the object itself.
    path:
        The field with the arguments, for errors.
    """

    id: str
    name: str
    arguments: str | dict[str, Any]
    path: str


class CallIds:
    """Gives the calls of a conversation their ids, in order.

    An id depends only on the ids before it. So a conversation that continues keeps its
    ids.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._uses: defaultdict[str, int] = defaultdict(int)

    def next(self, client_id: str) -> str:
        """The id of the next call: `client_id` if it is legal and new."""
        legal = _legal(client_id)
        unique = legal
        while unique in self._taken:
            self._uses[legal] += 1
            unique = f"{legal}{REPEATED_ID_MARK}{self._uses[legal] + 1}"
        self._taken.add(unique)
        return unique


def _legal(client_id: str) -> str:
    if _LEGAL_ID.fullmatch(client_id):
        return client_id
    return "toolu_" + hashlib.blake2b(client_id.encode(), digest_size=12).hexdigest()


class Calls:
    """The calls of one message of the assistant, and their results so far.

    Parameters
    ----------
    calls:
        As the client has them.
    ids:
        The ids of all calls of the conversation.
    path:
        The field with the calls, for errors.
    """

    def __init__(self, calls: Sequence[Call], ids: CallIds, path: str) -> None:
        self.blocks: list[ContentBlock] = [_tool_use(call, ids) for call in calls]
        self._path = path
        self._results: list[ContentBlock | None] = [None] * len(calls)
        self._awaited: defaultdict[str, deque[int]] = defaultdict(deque)
        for position, call in enumerate(calls):
            self._awaited[call.id].append(position)

    def add_result(
        self, client_id: str, content: list[ContentBlock], *, failed: bool, path: str
    ) -> None:
        """Add the result of the call `client_id`; the field `path` has that id.

        If several calls have the id, the first one without a result gets it.

        Raises
        ------
        InvalidRequest
            No such call waits for a result.
        """
        awaited = self._awaited.get(client_id)
        if not awaited:
            raise InvalidRequest(
                f"`{path}`: no call {quoted(client_id)} of the assistant's message "
                "before it waits for a result.",
                param=path,
            )
        position = awaited.popleft()
        block: ContentBlock = {
            "type": "tool_result",
            "tool_use_id": self.blocks[position]["id"],
            "content": content,
        }
        self._results[position] = block | {"is_error": True} if failed else block

    def results(self) -> list[ContentBlock]:
        """The results, in the order of the calls.

        Raises
        ------
        InvalidRequest
            A result is missing.
        """
        missing = [quoted(i) for i, positions in self._awaited.items() if positions]
        if missing:
            more = ", …" if len(missing) > _MOST_NAMED else ""
            raise InvalidRequest(
                f"`{self._path}`: each call must be answered by a tool message right "
                f"after it. Without an answer: {', '.join(missing[:_MOST_NAMED])}"
                f"{more}.",
                param=self._path,
            )
        return [result for result in self._results if result is not None]


def _tool_use(call: Call, ids: CallIds) -> ContentBlock:
    arguments: Any = call.arguments
    if isinstance(arguments, str):
        try:
            arguments = parsed_input(arguments)
        except RecursionError:
            raise too_deep(call.path) from None
    check_depth(arguments, call.path)
    return {
        "type": "tool_use",
        "id": ids.next(call.id),
        "name": name_for_cli(call.name),
        "input": arguments,
    }
