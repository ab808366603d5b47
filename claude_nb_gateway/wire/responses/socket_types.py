"""The messages on a WebSocket of the Responses API, beside its events.

Field by field as in https://www.openresponses.org/specification.
"""

from __future__ import annotations

from msgspec import Struct

from .event_types import Event
from .types import ResponseRequest


class ResponseCreate(ResponseRequest, kw_only=True):
    """A message of a WebSocket: a request, which is answered by its events.

    If `generate` is false the model is not asked: a later message can continue it.
    """

    type: str = ""
    generate: bool | None = None


class HeadersEvent(Event, tag="claude_nb_gateway:headers"):
    """What an HTTP response would have in its headers."""

    headers: dict[str, str]


class SocketErrorBody(Struct):
    """What went wrong."""

    type: str
    code: str
    message: str
    param: str | None


class SocketError(Struct, tag="error", kw_only=True, omit_defaults=True):
    """The answer to a message of a WebSocket that is not answered by a response.

    `headers` are those that an HTTP response would have.
    """

    status: int
    error: SocketErrorBody
    headers: dict[str, str] = {}
