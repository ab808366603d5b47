"""Which requests a URL stands for: by the pattern of its path, and by more."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from jupyter_server.utils import url_path_join
from tornado.escape import url_unescape
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher

from ..access.keys import KEY_PREFIX
from .auth import bearer_of
from .base import GatewayHandler
from .openapi import Operation

PREFIX = "/v1"
PROJECTS = f"{PREFIX}/projects"

#: The method of a request that opens a WebSocket. It is HTTP's GET, which has another
#: meaning without an `Upgrade` header.
UPGRADE = "UPGRADE"


# Anthropic's clients add a `/v1` of their own to their base URL.
_THEIR_PREFIX = "(?:/v1)?"

_PARAMETER = re.compile(r"{(\w+)}")

# What a parameter of a path matches; any other parameter matches one segment.
_PATTERNS = {"project": "(?P<reference>.+)", "model": "(?P<name>.+)"}

# The same within a project, where directories may be called like parts of the API: the
# last `/models/` begins the name of a model, and `resp_` the id of a response.
_PATTERNS_IN_PROJECT = {
    "model": "(?P<name>(?!models/)(?:(?!/models/).)+)",
    "response_id": "(?P<response_id>resp_[0-9A-Za-z]+)",
}
_IN_PROJECT = f"{PROJECTS}/(?P<project>.+?)"


@dataclass(frozen=True, kw_only=True)
class Route:
    """One URL.

    Parameters
    ----------
    path:
        The path below ``/v1``, with its parameters in braces as in OpenAPI.
    handler:
        Answers its requests.
    operations:
        Its methods, for the OpenAPI document. It is left out there if it has none.
    in_projects:
        Whether it exists within each project too.
    doubles_v1:
        Whether Anthropic's clients ask for it, who add another ``/v1``.
    options:
        Further arguments for the handler's `initialize`.
    """

    path: str
    handler: type[GatewayHandler]
    operations: tuple[Operation, ...] = ()
    in_projects: bool = False
    doubles_v1: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pattern(self) -> str:
        """The regular expression of its whole path, without the base URL."""
        return f"{PREFIX}{self._pattern(_PATTERNS)}"

    @property
    def pattern_in_projects(self) -> str:
        """The same of its path within a project."""
        return f"{_IN_PROJECT}{self._pattern(_PATTERNS_IN_PROJECT)}"

    @property
    def methods(self) -> frozenset[str]:
        """The names of its methods; `UPGRADE` is the one that opens a WebSocket."""
        return frozenset(
            operation.method.upper() if operation.messages is None else UPGRADE
            for operation in self.operations
        )

    def _pattern(self, patterns: Mapping[str, str]) -> str:
        def match(found: re.Match[str]) -> str:
            """The group that matches a parameter of the path."""
            return patterns.get(found[1], f"(?P<{found[1]}>[^/]+)")

        prefix = _THEIR_PREFIX if self.doubles_v1 else ""
        return prefix + _PARAMETER.sub(match, self.path)


class ProjectItself(Matcher):
    """Requests about a project whose directory is called like a part of an API.

    GET ``/v1/projects/papers/messages`` describes the directory ``papers/messages``,
    because messages are only posted. If a request could mean both, as GET
    ``…/papers/models`` could, the API answers it. The project's id, or
    ``papers%2Fmodels``, always names the directory.

    Parameters
    ----------
    prefix:
        What the path of every project begins with.
    methods:
        The methods of a project itself.
    within:
        Pattern and methods of every path within a project, in the order in which the
        server tries them.
    """

    def __init__(
        self,
        prefix: str,
        methods: Collection[str],
        within: Iterable[tuple[str, Set[str]]],
    ) -> None:
        self._prefix = prefix
        self._methods = methods
        self._within = [(re.compile(pattern), names) for pattern, names in within]

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """The arguments of the project's handler; None for all other requests."""
        path, method = request.path, request.method
        if method not in self._methods or not path.startswith(self._prefix):
            return None
        wished = {method}
        if method == "GET" and "Upgrade" in request.headers:
            wished.add(UPGRADE)
        for pattern, methods in self._within:
            if pattern.fullmatch(path):
                if wished & methods:
                    return None
                reference = path.removeprefix(self._prefix)
                decoded = url_unescape(reference, encoding=None, plus=False)
                return {"path_kwargs": {"reference": decoded}}
        return None


class KeyElsewhere(Matcher):
    """Requests with a scoped key for something outside ``/v1``.

    Parameters
    ----------
    base_url:
        The base URL of the server.
    prefix:
        What scoped keys open.
    public:
        A path that everybody may ask for, whatever key is sent.
    """

    def __init__(self, base_url: str, prefix: str, public: str) -> None:
        self._prefix = url_path_join(base_url, prefix)
        self._public = url_path_join(base_url, public)

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """No arguments for such a request; None for all others."""
        if not bearer_of(request).startswith(KEY_PREFIX):
            return None
        if request.path in (self._prefix, self._public):
            return None
        return None if request.path.startswith(f"{self._prefix}/") else {}
