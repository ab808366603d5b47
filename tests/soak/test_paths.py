"""Two thousand paths that would lead elsewhere: none does."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import socket
import threading
from collections import Counter
from urllib.parse import quote, urlsplit

import pytest

from claude_nb_gateway.testing.server import running_gateway

from ..api.resources import http, make_project

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

PATHS = 2_000

UPWARDS = (
    "..",
    "%2e%2e",
    "%2E%2e",
    "..%00",
    "%252e%252e",
    "..%2f..",
    "..%5c..",
    "..;",
    "....",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%uff0e%uff0e",
    "\u2025",
    "\uff0e\uff0e",
    ". .",
    "..%09",
)
TARGETS = (
    "outside",
    "etc/passwd",
    "root/.ssh",
    "home/other/work",
    "~root",
    "~",
    "proc/self/cwd",
    "proc/self/root/etc",
    "dev/shm/made",
    "tmp/made",
    "link",
    "link/inside",
    "link-up/outside",
    "flip/made",
    ".hidden/x",
    "file/x",
    "a" * 300,
    "b/" * 3000,
    "nul\0byte",
    "line\nbreak",
    "C:\\windows",
    "\\\\server\\share",
    "\ud800",
    "é" * 200,
)


def paths(chance):
    """Hostile paths, some encoded for a URL already, without end."""
    while True:
        ups = [chance.choice(UPWARDS) for _ in range(chance.randrange(4))]
        start = chance.choice(("", "", "/", "//", "a/", "./", "%2f", "projects/", "~/"))
        middle = chance.choice(("/", "//", "/./", "%2f", "\\", "%00/"))
        yield start + middle.join([*ups, chance.choice(TARGETS)])


def send(address, key, method, target, body=b""):
    """A request whose target goes out as it is; the status and body of its answer."""
    head = [
        f"{method} {target} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    data = "\r\n".join([*head, "", ""]).encode() + body
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        connection.sendall(data)
        with connection.makefile("rb") as reader:
            answer = reader.read()
    first, _, rest = answer.partition(b"\r\n")
    return int(first.split()[1]), rest.partition(b"\r\n\r\n")[2]


def spoilt(path, chance):
    """Where and how `path` is sent: method, what follows /v1, body."""
    in_url = quote(path.encode(errors="surrogatepass"), safe="/%~;\\.")[:60_000]
    chat = {"model": "sonnet", "messages": [{"role": "user", "content": "q"}]}
    return chance.choice(
        [
            ("POST", "/projects", {"path": path}),
            ("POST", f"/projects/{in_url}/chat/completions", chat | {"model": "none"}),
            ("POST", "/chat/completions", chat | {"project_id": path, "model": "none"}),
            ("POST", "/sessions", {"project_id": path}),
            ("GET", f"/projects/{in_url}", None),
            ("GET", f"/projects/{in_url}/models", None),
            ("GET", f"/sessions?project={in_url}", None),
            ("PATCH", "/projects/mine", {"path": path}),
            ("DELETE", f"/projects/{in_url}?files=true&confirm=x", None),
        ]
    )


def everything_below(directory):
    return sorted(
        os.path.join(where, name)
        for where, folders, files in os.walk(directory)
        for name in (*folders, *files)
    )


@contextlib.contextmanager
def flipping(root, outside):
    """Meanwhile `flip` is a directory at one moment and a link outside at the next."""
    over = threading.Event()

    def flip():
        for number in itertools.count():
            if over.wait(0.001):
                return
            with contextlib.suppress(OSError):
                os.rename(root / "flip", root / f"aside-{number}")
            with contextlib.suppress(OSError):
                os.symlink(outside, root / "flip")
                os.unlink(root / "flip")

    racer = threading.Thread(target=flip)
    racer.start()
    try:
        yield
    finally:
        over.set()
        racer.join()


def test_no_path_leads_outside_the_root(tmp_path, model):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / ".hidden").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("TOP SECRET")
    (root / "link").symlink_to(outside)
    (root / "link-up").symlink_to("..")
    (root / "file").write_text("")
    (root / "flip").mkdir()
    server = tmp_path / "server"
    server.mkdir()
    option = f"--ServerApp.root_dir={root}"
    chance = random.Random(6)
    statuses = Counter()
    with running_gateway(server, model.url, option) as gateway:
        address = urlsplit(gateway.base_url)
        with http(gateway) as client:
            make_project(client, "mine")
            client.get("models")  # so that an unknown model is refused before a start
        before = [everything_below(outside), sorted(os.listdir(tmp_path))]
        with flipping(root, outside):
            for path in itertools.islice(paths(chance), PATHS):
                method, place, body = spoilt(path, chance)
                data = b"" if body is None else json.dumps(body).encode()
                target = address.path + place
                status, answer = send(address, gateway.key, method, target, data)
                statuses[status] += 1
                assert status < 500, (path, method, place, answer)
                assert b"TOP SECRET" not in answer
                if status >= 400:
                    assert "error" in json.loads(answer)
        print(dict(statuses))
        assert [everything_below(outside), sorted(os.listdir(tmp_path))] == before
        with http(gateway) as client:
            for project in client.get("projects", params={"limit": 100}).json()["data"]:
                found = os.path.realpath(root / project["path"])
                assert found.startswith(str(root)), project
        assert "Traceback" not in "".join(gateway.log)
    assert statuses[400] > PATHS / 4
