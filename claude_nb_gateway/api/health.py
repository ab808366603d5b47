"""`GET /health` of the gateway alone, for probes."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import RequestHandler


class HealthHandler(RequestHandler):
    """Says that the server answers, to anybody and under any name; and no more."""

    @allow_unauthenticated
    def get(self) -> None:
        """Answer; whether the model does too is not asked."""
        self.set_header("Cache-Control", "no-store")
        self.finish({"status": "ok"})

    head = get
