"""Remote images, fetched from a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import base64
import re
import socket

import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from claude_nb_gateway.api.images import (
    MOST_AT_ONCE,
    ImageFetcher,
    PublicResolver,
    is_public,
)
from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.attachments import MOST_IMAGE_BYTES, RemoteImage

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100

pytestmark = pytest.mark.anyio


class Files(web.RequestHandler):
    """Answers what its path says."""

    asked: list[str] = []

    async def get(self, name):
        self.asked.append(name)
        if name == "again":
            self.redirect("/image")
        elif name == "inside":
            self.redirect("http://127.0.0.2:1/image")
        elif name == "round":
            self.redirect("/round")
        elif name == "page":
            self.write("<html>")
        elif name == "large":
            self.write(PNG + b"0" * MOST_IMAGE_BYTES)
        elif name == "missing":
            self.set_status(404)
        else:
            self.write(PNG)


@pytest.fixture
async def address():
    Files.asked.clear()
    server = HTTPServer(web.Application([(r"/(.*)", Files)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    server.stop()
    await server.close_all_connections()


def fetcher(**options):
    options = {"enabled": True, "allowed": lambda ip: ip == "127.0.0.1", **options}
    return ImageFetcher(**options)


def remote(url, path="field"):
    block = {"type": "image", "source": {"type": "url", "url": url}}
    return RemoteImage(path, block)


async def fetched(address, **options):
    image = remote(address)
    await fetcher(**options).fetch_all([image])
    return image.block["source"]


@pytest.mark.parametrize("name", ["image", "again"])
async def test_image_takes_the_place_of_its_address(address, name):
    data = base64.b64encode(PNG).decode()
    expected = {"type": "base64", "media_type": "image/png", "data": data}
    assert await fetched(f"{address}/{name}") == expected


async def test_nothing_is_fetched_unless_enabled(address):
    with pytest.raises(InvalidRequest, match=r"ImageFetcher\.enabled") as error:
        await fetched(f"{address}/image", enabled=False)
    assert error.value.param == "field"
    assert Files.asked == []


@pytest.mark.parametrize("name", ["inside", "round", "page", "large", "missing"])
async def test_what_is_no_image_or_elsewhere_is_refused(address, name):
    with pytest.raises(InvalidRequest) as error:
        await fetched(f"{address}/{name}")
    assert error.value.param == "field"
    assert "127.0.0" not in error.value.message


async def test_loopback_is_never_asked(address):
    with pytest.raises(InvalidRequest):
        await fetched(f"{address}/image", allowed=is_public)
    assert Files.asked == []


@pytest.mark.parametrize(
    "url",
    ["http://", "http://[", "http://user@/x", "https://127.0.0.1:1/", "http://x y/"],
)
async def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(InvalidRequest):
        await fetched(url)


async def test_time_is_bounded():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(InvalidRequest):
            await fetched(url, timeout_seconds=0.1)


async def test_wait_for_the_images_of_others_is_bounded(address):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        busy = fetcher(timeout_seconds=20, total_timeout_seconds=0.3)
        others = [remote(url, "other") for _ in range(MOST_AT_ONCE)]
        async with asyncio.timeout(5):
            first, then = await asyncio.gather(
                busy.fetch_all(others),
                busy.fetch_all([remote(f"{address}/image")]),
                return_exceptions=True,
            )
    assert isinstance(first, InvalidRequest)
    assert isinstance(then, InvalidRequest)
    assert re.search(r"`field` was not .* 0\.3 s", then.message)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
    ],
)
async def test_only_the_internet_is_public(address, public):
    assert is_public(address) is public


async def test_names_are_resolved_and_checked():
    with pytest.raises(OSError, match="public"):
        await PublicResolver().resolve("localhost", 80)
