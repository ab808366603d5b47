"""The error object that all of OpenAI's APIs share."""

from __future__ import annotations

from msgspec import Struct


class ErrorBody(Struct):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(Struct):
    """The body of an error response; in a stream, the last event."""

    error: ErrorBody
