"""`GET /health`, for probes; only the gateway alone has it."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import RequestHandler


class HealthHandler(RequestHandler):
    """Says that the server answers, to everybody and under any host name."""

    @allow_unauthenticated
    def get(self) -> None:
        """Say that the server answers. The model is not asked."""
        self.set_header("Cache-Control", "no-store")
        self.finish({"status": "ok"})

    head = get
