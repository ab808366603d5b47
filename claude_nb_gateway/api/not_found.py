"""Answers for URLs that are nothing, or that the caller's key does not open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import dropwhile

from ..errors import cut
from .base import GatewayHandler
from .errors import APIError
from .services import Services

# Clients that use one service for everything ask the gateway for these too.
NOT_CLAUDES = ("embeddings", "images", "audio", "moderations")


def meant(path: str, known: Iterable[str]) -> str | None:
    """The path that a client probably meant by `path`; None if there is none.

    It is `path` without superfluous slashes and with ``/v1`` once, if one of the
    patterns `known` matches that.
    """
    parts = [part for part in path.split("/") if part]
    if "v1" in parts:
        at = parts.index("v1")
        parts[at:] = ["v1", *dropwhile("v1".__eq__, parts[at:])]
    tidy = "/" + "/".join(parts)
    if tidy != path and any(re.fullmatch(pattern, tidy) for pattern in known):
        return tidy
    return None


class KeyElsewhereHandler(GatewayHandler):
    """Answers a request with a scoped key for anything outside ``/v1``."""

    async def admit(self) -> None:
        """Raise APIError 403."""
        raise APIError(
            403,
            "This API key opens /v1 alone, and nothing else of the Jupyter server.",
            code="key_out_of_scope",
        )


class NotFoundHandler(GatewayHandler):
    """Answers a request for a path under ``/v1`` that does not exist."""

    def initialize(  # type: ignore[override]
        self, services: Services, known_paths: Sequence[str]
    ) -> None:
        """Keep what the handler may use, and the patterns of all paths that exist."""
        super().initialize(services)
        self._known_paths = known_paths

    async def admit(self) -> None:
        """Raise APIError: 404 for a caller who may ask, otherwise 401 or 403."""
        await super().admit()
        if not self.current_user:
            raise self.unauthorized()
        message = f"There is no {self.request.method} {cut(self.request.path)} here."
        resource = self.request.path.partition("/v1/")[2].partition("/")[0]
        if resource in NOT_CLAUDES:
            message += f" Claude makes no {resource}: use another service for that."
        below = self.settings["base_url"].rstrip("/")
        path = self.request.path.removeprefix(below) if below else self.request.path
        if found := meant(path, self._known_paths):
            message += f" You may mean {below}{found}: see the client's base URL."
        raise APIError(404, message, code="unknown_url")
