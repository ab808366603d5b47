"""What is logged and counted for every request to the server, also to Jupyter."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

from jupyter_server.log import log_request
from jupyter_server.prometheus.log_functions import prometheus_log_method
from tornado.web import RequestHandler

from ..errors import GatewayError
from .errors import APIError

#: Stands for every method that HTTP does not have.
UNKNOWN_METHOD = "UNKNOWN"

Log = Callable[[RequestHandler], None]


def access_log(log: Log) -> Log:
    """`log`, but for known methods only, and with each error on one line.

    Jupyter counts requests by method. Each method that a client makes up would take a
    line of ``/metrics``, and memory, that stays. For an error Jupyter logs the headers
    and the request, and Tornado the request and the error again.
    """
    own = log.func if isinstance(log, functools.partial) else log
    keywords = log.keywords if isinstance(log, functools.partial) else {}
    is_jupyters = own is log_request

    def logged(handler: RequestHandler) -> None:
        """Log the request of `handler`, with its error if there is one."""
        if handler.request.method not in handler.SUPPORTED_METHODS:
            handler.request.method = UNKNOWN_METHOD
        sent = getattr(handler, "sent_error", None)
        if sent is None or not is_jupyters:
            log(handler)
        if sent is not None:
            _log_error(handler, sent)
            if is_jupyters and keywords.get("record_prometheus_metrics", True):
                prometheus_log_method(handler)  # type: ignore[no-untyped-call]

    return logged


def description(error: APIError) -> str:
    """The text to log for an error, with the details that its client is not told."""
    cause = error.__cause__
    if isinstance(cause, GatewayError) and cause.detail:
        return f"{type(cause).__name__}: {cause} {cause.detail}"
    return error.body.message


def _log_error(handler: RequestHandler, sent: APIError) -> None:
    request = handler.request
    who = ""
    with contextlib.suppress(RuntimeError):  # raised before anybody is let in
        who = getattr(handler.current_user, "username", "")
    handler.log.warning(  # type: ignore[attr-defined]
        "%d %s %s (%s@%s) %.2fms: %s",
        handler.get_status(),
        request.method,
        request.path,
        who,
        request.remote_ip,
        1e3 * request.request_time(),
        description(sent),
    )
