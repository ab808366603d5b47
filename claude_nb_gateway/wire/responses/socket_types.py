"""What goes over a WebSocket of the Responses API, beside its events.

Field by field as in https://www.openresponses.org/specification.
"""

from __future__ import annotations

from msgspec import Struct

from .event_types import Event
from .types import ResponseRequest


class ResponseCreate(ResponseRequest, kw_only=True):
    """A message of a WebSocket: a request, which is answered by its events.

    With `generate` false it is kept to be gone on with, and the model is not asked.
    """

    type: str = ""
    generate: bool | None = None


class HeadersEvent(Event, tag="claude_nb_gateway:headers"):
    """What an answer over HTTP has in its headers, on a WebSocket."""

    headers: dict[str, str]


class SocketErrorBody(Struct):
    """What went wrong."""

    type: str
    code: str
    message: str
    param: str | None


class SocketError(Struct, tag="error", kw_only=True, omit_defaults=True):
    """The answer to a message of a WebSocket that is not answered by a response.

    `headers` are those that an answer over HTTP would have.
    """

    status: int
    error: SocketErrorBody
    headers: dict[str, str] = {}
