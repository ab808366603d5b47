"""Fetches remote images of requests from public hosts, if the server is set to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from tornado.httpclient import HTTPClientError, HTTPResponse
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from traitlets import Bool, Float
from traitlets.config import LoggingConfigurable

from ..errors import InvalidRequest
from ..wire.attachments import MOST_IMAGE_BYTES, RemoteImage, image_type

MOST_REDIRECTS = 3
MOST_AT_ONCE = 4


class NotPublic(OSError):
    """A host that is not on the public internet."""


# IPv6 addresses that stand for IPv4 hosts behind a translator (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether `address` is on the public internet, also when written as IPv6."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = None
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not ip.is_multicast and (inner is None or inner.is_global)


class PublicResolver(Resolver):
    """Resolves names to addresses for which `allowed` is true.

    The HTTP client connects to exactly these addresses, also after a redirect. So a
    name that resolves differently a moment later does not help an attacker.
    """

    def initialize(self, allowed: Callable[[str], bool] = is_public) -> None:
        """Keep the function that checks addresses."""
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """The addresses of `host`; raises NotPublic if one is not allowed."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM
        )
        if not all(self._allowed(str(address[0])) for *_, address in found):
            raise NotPublic(f"{host} is not on the public internet")
        return [(kind, address) for kind, *_, address in found]


class ImageFetcher(LoggingConfigurable):
    """Fetches the remote images of a request.

    Parameters
    ----------
    allowed:
        Says whether an IP address may be connected to.
    """

    enabled = Bool(
        False,
        config=True,
        help="""Whether images that requests name by http(s) URL are fetched, from hosts
        on the public internet only. Otherwise such requests are refused.""",
    )
    timeout_seconds = Float(
        10.0, config=True, help="Maximum time for fetching one image."
    )
    total_timeout_seconds = Float(
        60.0,
        config=True,
        help="""Maximum time for fetching all images of a request, including the wait
        for the images of other requests.""",
    )

    def __init__(
        self, *, allowed: Callable[[str], bool] = is_public, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._allowed = allowed
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def fetch_all(self, images: Sequence[RemoteImage]) -> None:
        """Replace the addresses of `images` by the images.

        Raises
        ------
        InvalidRequest
            Fetching is not enabled, or an image cannot be fetched; `param` names the
            field.
        """
        if not images:
            return
        if not self.enabled:
            raise InvalidRequest(
                f"`{images[0].path}`: This gateway fetches no remote images. Send a "
                "data URI, `data:image/png;base64,…`, or set ImageFetcher.enabled on "
                "the server.",
                param=images[0].path,
                code="invalid_image_url",
            )
        client = SimpleAsyncHTTPClient(
            force_instance=True,
            resolver=PublicResolver(allowed=self._allowed),
            max_body_size=MOST_IMAGE_BYTES,
        )
        try:
            async with (
                asyncio.timeout(self.total_timeout_seconds),
                asyncio.TaskGroup() as group,
            ):
                for image in images:
                    group.create_task(self._fetch(client, image))
        except* InvalidRequest as errors:
            raise errors.exceptions[0] from None
        except* TimeoutError:
            late = next(image.path for image in images if not image.is_fetched)
            seconds = self.total_timeout_seconds
            raise _refusal(late, f"was not fetched within {seconds:g} s") from None
        finally:
            client.close()

    async def _fetch(self, client: SimpleAsyncHTTPClient, image: RemoteImage) -> None:
        try:
            async with self._slots, asyncio.timeout(self.timeout_seconds):
                response: HTTPResponse = await client.fetch(
                    image.url,
                    max_redirects=MOST_REDIRECTS,
                    request_timeout=self.timeout_seconds,
                    decompress_response=False,
                )
        except (HTTPClientError, OSError, ValueError, UnicodeError) as error:
            # The exact error could tell the client about hosts that it cannot see.
            self.log.info("image not fetched: %s", error)
            raise _refusal(
                image.path, "cannot be fetched from a public address"
            ) from None
        media_type = image_type(response.body)
        if media_type is None:
            raise _refusal(image.path, "is no PNG, JPEG, GIF or WebP image")
        image.fill(response.body, media_type)


def _refusal(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"`{path}` {what}. Send the image itself, as a data URI.",
        param=path,
        code="invalid_image_url",
    )
