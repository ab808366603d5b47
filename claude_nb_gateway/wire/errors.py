"""The error object of OpenAI's APIs, which all of them share."""

from __future__ import annotations

from msgspec import Struct


class ErrorBody(Struct):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(Struct):
    """The body of every answer that is an error; in a stream it is the last event."""

    error: ErrorBody
