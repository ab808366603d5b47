"""Which project and which session a request names: in its body, headers and path."""

from __future__ import annotations

from urllib.parse import unquote

from tornado.httputil import HTTPServerRequest

from ..errors import InvalidRequest
from .base import SESSION_HEADER

#: Names a project by its id or its path; the path is percent-encoded.
PROJECT_HEADER = "X-Claude-Project"


def project_named(
    request: HTTPServerRequest, in_body: str | None, in_path: str | None
) -> str | None:
    """The id or path of the project that `request` names; None if it names none.

    Raises
    ------
    InvalidRequest
        Body, header and path name different ones.
    """
    in_header = unquote(request.headers.get(PROJECT_HEADER, ""))
    return _the_one("project_id", in_body, in_header, in_path)


def session_named(request: HTTPServerRequest, in_body: str | None) -> str | None:
    """The id of the session that `request` names; None if it names none.

    Raises
    ------
    InvalidRequest
        Body and header name different ones.
    """
    return _the_one("session_id", in_body, request.headers.get(SESSION_HEADER))


def _the_one(field: str, *named: str | None) -> str | None:
    different = {name for name in named if name}
    if len(different) > 1:
        raise InvalidRequest(
            f"`{field}`: the body, the headers and the path name different ones.",
            param=field,
        )
    return different.pop() if different else None
