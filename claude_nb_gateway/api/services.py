"""What the handlers may use of the gateway."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from ..access.kernels import Kernels
from ..access.keyring import Keyring
from ..claude_code.manager import CLIManager
from ..store.store import Store
from ..turn.schemas import SchemaChecker
from ..workspace.projects import Projects
from ..workspace.sessions import Sessions
from .bodies import Bodies
from .compactions import Compactions
from .images import ImageFetcher
from .stored_responses import ResponseStore


class OpenSocket(Protocol):
    """A WebSocket that the server can close."""

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close it with a status code of RFC 6455 and a reason."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the handlers may use of the gateway, made once by the app.

    Handlers get it as the argument `services` of `initialize`. They never import the
    app. The settings are those of `GatewayApp` with the same names.

    Parameters
    ----------
    responses:
        The stored responses.
    large_requests:
        Runs what takes long for a large request, outside the event loop.
    is_keyless:
        Whether requests need no key at the moment.
    sockets:
        The WebSockets that are open now.
    """

    manager: CLIManager
    projects: Projects
    sessions: Sessions
    store: Store
    keyring: Keyring
    kernels: Kernels
    images: ImageFetcher
    responses: ResponseStore
    compactions: Compactions
    schemas: SchemaChecker
    bodies: Bodies
    large_requests: Executor
    is_keyless: Callable[[], bool]
    max_request_bytes: int
    keepalive_seconds: float
    reader_timeout_seconds: float
    websocket_ping_seconds: float
    websocket_idle_seconds: float
    websocket_connection_seconds: float
    strict_parameters: bool
    sockets: set[OpenSocket] = field(default_factory=set)
