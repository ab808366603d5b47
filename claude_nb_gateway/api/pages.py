"""Lists that are given in pages, as OpenAI's API gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tornado.web import RequestHandler

from ..errors import InvalidRequest

MOST_ITEMS_A_PAGE = 100

Answer = TypeVar("Answer")
Item = TypeVar("Item")


class Page(NamedTuple):
    """The part of a list that a request asks for.

    Parameters
    ----------
    limit:
        The maximum number of items.
    after:
        The id of the item before the first one; None to begin at the start.
    ascending:
        Whether the oldest item comes first.
    """

    limit: int
    after: str | None
    ascending: bool

    def part_of(self, items: Sequence[Item]) -> tuple[Sequence[Item], bool]:
        """This part of `items`, and whether there are more behind it.

        `items` are all items of the list, already in the order that is asked for.

        Raises
        ------
        InvalidRequest
            `after` names none of them.
        """
        start = 0
        if self.after is not None:
            ids = [_id_of(item) for item in items]
            if self.after not in ids:
                raise InvalidRequest(
                    "`after` names no item of this list.", param="after"
                )
            start = ids.index(self.after) + 1
        end = start + self.limit
        return items[start:end], end < len(items)


def check_query(handler: RequestHandler, *names: str) -> None:
    """Raise InvalidRequest for a parameter of the query that is none of `names`."""
    for name in handler.request.query_arguments:
        if name not in (*names, "token"):  # Jupyter itself reads `token`
            raise InvalidRequest(
                f"`{name}`: There is no such parameter: leave it out, or use one "
                f"of {', '.join(names)}.",
                param=name,
                code="unsupported_parameter",
            )


def page_asked_of(handler: RequestHandler, *others: str) -> Page:
    """The page that the query of `handler` asks for.

    The query may have the parameters `others` too.

    Raises
    ------
    InvalidRequest
        A parameter is unknown or has a value that it cannot have.
    """
    check_query(handler, "limit", "after", "order", *others)
    limit = handler.get_query_argument("limit", "20")
    is_number = limit.isascii() and limit.isdecimal() and len(limit) < 10
    if not is_number or not 1 <= int(limit) <= MOST_ITEMS_A_PAGE:
        raise InvalidRequest(
            f"`limit` must be a number from 1 to {MOST_ITEMS_A_PAGE}.", param="limit"
        )
    order = handler.get_query_argument("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("`order` is asc or desc.", param="order")
    after = handler.get_query_argument("after", "") or None
    return Page(int(limit), after, order == "asc")


def list_of(
    kind: Callable[..., Answer], items: Sequence[Any], *, has_more: bool = False
) -> Answer:
    """The answer of type `kind` with `items`, and the ids of the first and the last.

    An item is an object with an `id`, or a dictionary that has one.
    """
    return kind(
        data=items,
        first_id=_id_of(items[0]) if items else None,
        last_id=_id_of(items[-1]) if items else None,
        has_more=has_more,
    )


def _id_of(item: Any) -> str:
    return str(item["id"] if isinstance(item, dict) else item.id)
