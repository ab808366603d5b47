"""Keeps web pages in the user's browser away from a gateway that asks for no key.

Without a key only the loopback address keeps others out, and a page in the user's
browser can reach that address. It must not get in: not by a host name that was rebound
to the address, not from another origin, and not as a plain form.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from .errors import APIError


def refuse_foreign_callers(
    request: HTTPServerRequest, local_names: Sequence[str]
) -> None:
    """Raise APIError unless `request` comes from a program of this machine.

    `local_names` are the host names of this machine.
    """
    host = urlsplit(f"//{request.host}").hostname or ""
    if not _is_local(host, local_names):
        raise APIError(
            403,
            "The Host header does not name this machine, and the gateway asks "
            "for no key. Use 127.0.0.1, or set GatewayApp.require_auth.",
            code="foreign_host",
        )
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise APIError(
            403,
            "Requests from other origins are refused, since the gateway asks "
            "for no key. Set GatewayApp.require_auth and use one.",
            code="foreign_origin",
        )
    content_type = request.headers.get("Content-Type", "")
    json_type = content_type.partition(";")[0].strip().lower()
    if request.method == "POST" and json_type != "application/json":
        raise APIError(
            415,
            "The Content-Type must be application/json.",
            code="unsupported_media_type",
        )


def _is_local(host: str, names: Sequence[str]) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in names
