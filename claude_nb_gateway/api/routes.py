"""What a URL means where several would do, and where none does."""

from __future__ import annotations

import re
from typing import Any

from tornado.escape import url_unescape
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher

#: An id of a response where a directory's name could be meant too.
RESPONSE_ID = r"(?P<response_id>resp_[0-9A-Za-z]+)"

# What is only posted to, within a project; and what is only read there.
_POSTED = re.compile(
    ".+/(chat/completions|completions|messages|messages/count_tokens|responses"
    "|responses/compact)"
)
_READ = re.compile(".+/models(/.+)?")


class ProjectItself(Matcher):
    """Requests about a project whose directory is called like a part of an API.

    GET ``/v1/projects/papers/messages`` describes the directory ``papers/messages``,
    since messages are posted. What both could mean, as GET ``…/papers/models``, is of
    the API: the project's id, or ``papers%2Fmodels``, says the other.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}/projects/"

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """The parameters of the handler, None where the request is not of this kind."""
        if not request.path.startswith(self._prefix) or "Upgrade" in request.headers:
            return None
        reference = request.path.removeprefix(self._prefix)
        patterns = {"GET": [_POSTED], "PATCH": [_POSTED, _READ]}
        patterns["DELETE"] = patterns["PATCH"]
        found = patterns.get(request.method or "", [])
        if not any(pattern.fullmatch(reference) for pattern in found):
            return None
        path = url_unescape(reference, encoding=None, plus=False)
        return {"path_kwargs": {"reference": path}}
