"""What is logged and counted of every request to the server, ours or not."""

from __future__ import annotations

from collections.abc import Callable

from tornado.web import RequestHandler

#: Stands for whatever else a client puts where the method of a request is.
UNKNOWN_METHOD = "UNKNOWN"

Log = Callable[[RequestHandler], None]


def with_known_methods(log: Log) -> Log:
    """`log` for requests with methods that there are.

    Jupyter counts requests by method: each that a client makes up would be a line of
    ``/metrics``, and its memory, for ever.
    """

    def logged(handler: RequestHandler) -> None:
        if handler.request.method not in handler.SUPPORTED_METHODS:
            handler.request.method = UNKNOWN_METHOD
        log(handler)

    return logged
