"""`%%claude` in kernels of a real Jupyter server, through its websocket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time

import httpx2
import pytest
import trustme
from jupyter_client.session import Session
from jupyter_server.auth.security import passwd
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import KEY, running_gateway

from ..api.resources import http

pytestmark = pytest.mark.anyio


class Notebook:
    """A kernel of the server, and its websocket."""

    def __init__(self, browser, kernel, socket):
        self.browser = browser
        self.kernel = kernel
        self.socket = socket
        self.session = Session(key=b"not used on the websocket")

    async def send(self, code):
        content = {"code": code, "silent": False, "store_history": True}
        message = self.session.msg("execute_request", content) | {"channel": "shell"}
        await self.socket.write_message(json.dumps(message, default=str))
        return message["header"]["msg_id"]

    async def messages(self, request):
        """Everything that `request` causes, to its reply and the kernel's rest."""
        seen = set()
        while seen != {"reply", "idle"}:
            text = await asyncio.wait_for(self.socket.read_message(), 60)
            message = json.loads(text)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "execute_reply":
                seen.add("reply")
            if content.get("execution_state") == "idle":
                seen.add("idle")
            yield message["msg_type"], content

    async def run(self, code):
        request = await self.send(code)
        return [message async for message in self.messages(request)]

    async def interrupt(self):
        await self.browser.post(f"/api/kernels/{self.kernel}/interrupt")


async def started_kernel(browser, path):
    """The id of a new kernel; with a `path`, of the notebook there."""
    if path is None:
        return (await browser.post("/api/kernels")).raise_for_status().json()["id"]
    body = {"path": path, "type": "notebook", "name": path, "kernel": {"name": ""}}
    answer = await browser.post("/api/sessions", json=body)
    return answer.raise_for_status().json()["kernel"]["id"]


@contextlib.asynccontextmanager
async def notebook(gateway, *, password=None, verify=True, path=None):
    root = gateway.base_url.removesuffix("/v1")
    async with httpx2.AsyncClient(
        base_url=root, verify=verify, timeout=30, follow_redirects=True
    ) as browser:
        if password is None:
            await browser.get("/login", params={"token": KEY})
        else:
            await browser.get("/login")
            form = {"password": password, "_xsrf": browser.cookies["_xsrf"]}
            await browser.post("/login", data=form)
        browser.headers["X-XSRFToken"] = browser.cookies["_xsrf"]
        kernel = await started_kernel(browser, path)
        cookies = "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar)
        url = f"{root}/api/kernels/{kernel}/channels".replace("http", "ws", 1)
        request = HTTPRequest(url, headers={"Cookie": cookies}, validate_cert=False)
        socket = await websocket_connect(request)
        opened = Notebook(browser, kernel, socket)
        try:
            await opened.run("%load_ext claude_nb_gateway")
            yield opened
        finally:
            await browser.delete(f"/api/kernels/{kernel}")
            socket.close()
            while await socket.read_message() is not None:
                pass


def displays(messages):
    shown = ("display_data", "update_display_data")
    return [(kind, content) for kind, content in messages if kind in shown]


def statuses(messages):
    return [c["status"] for kind, c in messages if kind == "execute_reply"]


async def test_answer_grows_in_one_display(gateway, model):
    words = [f"word{i} " for i in range(30)]
    model.script(Reply(words, delay_seconds=0.1))
    async with notebook(gateway) as opened:
        messages = await opened.run("%%claude\ncount")
    (first, *updates) = displays(messages)
    assert first[0] == "display_data"
    assert {kind for kind, _ in updates} == {"update_display_data"}
    texts = [content["data"]["text/markdown"] for _, content in updates]
    grown = [text for text in texts if text.startswith("word0")]
    assert len(set(grown)) >= 10
    assert all(later.startswith(text) for text, later in itertools.pairwise(grown))
    assert grown[-1] == "".join(words)
    assert statuses(messages) == ["ok"]


async def test_words_before_a_pause_of_the_model_are_shown(gateway, model):
    model.script(Reply(["partial ", "text"], hang="after"))
    async with notebook(gateway) as opened:
        request = await opened.send("%%claude\nfirst")
        interrupted = False
        async for message in opened.messages(request):
            shown = displays([message])
            # What is shown last says it again, and an interrupt of a kernel that is
            # about to reply takes its reply away.
            if shown and not interrupted:
                interrupted = shown[0][1]["data"]["text/markdown"] == "partial text"
                if interrupted:
                    await opened.interrupt()
    assert interrupted


@pytest.mark.soak
async def test_metadata_says_where_the_answer_came_from(gateway, model):
    model.script(Reply(["x"], usage={"input_tokens": 3}))
    async with notebook(gateway) as opened:
        messages = await opened.run("%%claude\nhi")
    about = displays(messages)[-1][1]["metadata"]["claude"]
    assert about["model"].startswith("claude-")
    assert about["session"]
    assert about["usage"]["prompt_tokens"] == 3
    assert about["cost_usd"] > 0


async def test_key_of_a_notebook_is_for_its_directory_also_when_it_moves(
    gateway, model
):
    for name in ("before", "after"):
        (gateway.directory / "moving" / name).mkdir(parents=True)
    async with notebook(gateway, path="moving/before/a.ipynb") as opened:
        messages = await opened.run("found = %claude_gateway\nprint(found.api_key)")
        (key,) = [c["text"].strip() for kind, c in messages if kind == "stream"]
        sessions = (await opened.browser.get("/api/sessions")).json()
        (session,) = [s for s in sessions if s["kernel"]["id"] == opened.kernel]
        with http(gateway, key) as client:
            for now, then in (("before", "after"), ("after", "before")):
                body = {"path": f"moving/{now}/a.ipynb"}
                await opened.browser.patch(f"/api/sessions/{session['id']}", json=body)
                opens = [
                    client.get(f"projects/moving/{name}/models").status_code
                    for name in (now, then)
                ]
                assert opens == [200, 403]
    with http(gateway, key) as client:
        assert client.get("models").status_code == 401


async def test_interrupt_stops_the_turn_and_keeps_the_text(gateway, model):
    model.script(Reply(["partial ", "text"], hang="after", delay_seconds=0.2))
    async with notebook(gateway) as opened:
        request = await opened.send("%%claude\nfirst")
        messages = []
        async for message in opened.messages(request):
            messages.append(message)
            shown = displays([message])
            if shown and "text" in shown[0][1]["data"]["text/markdown"]:
                began = time.monotonic()
                await opened.interrupt()
        assert time.monotonic() - began < 1
        assert await asyncio.to_thread(model.requests[0].abandoned.wait, 1)
        assert statuses(messages) == ["error"]
        last = displays(messages)[-1][1]
        assert last["data"]["text/markdown"] == "partial text"
        (error,) = [content for kind, content in messages if kind == "error"]
        assert error["ename"] == "Interrupted"
        assert len(error["traceback"]) == 1
        after = await opened.run("%%claude\nsecond")
        assert statuses(after) == ["ok"]
    assert model.requests[1].turns == [
        ("user", "first"),
        ("assistant", "partial text"),
        ("user", "second"),
    ]


async def test_interrupt_before_the_first_token(gateway, model):
    model.script(Reply(hang="before"))
    async with notebook(gateway) as opened:
        request = await opened.send("%%claude\nfirst")
        await asyncio.to_thread(model.wait_for_request)
        began = time.monotonic()
        await opened.interrupt()
        messages = [message async for message in opened.messages(request)]
        assert time.monotonic() - began < 1
    assert statuses(messages) == ["error"]
    assert await asyncio.to_thread(model.requests[0].abandoned.wait, 1)


@pytest.mark.soak
async def test_long_prompt_arrives_as_typed(gateway, model):
    text = "{'a': 1} $HOME {{x}} é\n" * 8_000
    async with notebook(gateway) as opened:
        assert statuses(await opened.run(f"%%claude\n{text}end")) == ["ok"]
    assert model.requests[0].turns == [("user", f"{text}end")]


async def test_blank_prompt_is_a_usage_error(gateway, model):
    async with notebook(gateway) as opened:
        messages = await opened.run("%%claude\n   \n")
    assert statuses(messages) == ["error"]
    assert model.requests == []


@pytest.mark.soak
async def test_server_with_only_a_password_below_a_base_url(tmp_path, model):
    hashed = passwd("secret", "sha1")
    options = (
        f"--PasswordIdentityProvider.hashed_password={hashed}",
        "--ServerApp.base_url=/deep/er/",
    )
    env = {"JUPYTER_TOKEN": ""}
    with running_gateway(tmp_path, model.url, *options, env=env) as gateway:
        async with notebook(gateway, password="secret") as opened:
            assert statuses(await opened.run("%%claude\nhi")) == ["ok"]
    assert model.requests[0].turns == [("user", "hi")]


@pytest.mark.soak
async def test_server_with_https(tmp_path, model):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(pem)
    certificate.private_key_pem.write_to_path(key)
    options = (f"--ServerApp.certfile={pem}", f"--ServerApp.keyfile={key}")
    with running_gateway(tmp_path, model.url, *options) as gateway:
        assert gateway.base_url.startswith("https://")
        async with notebook(gateway, verify=False) as opened:
            assert statuses(await opened.run("%%claude\nhi")) == ["ok"]
    assert model.requests[0].turns == [("user", "hi")]
