"""Thousands of spoilt requests: each is answered as documented, nothing is left."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections import Counter

import httpx2
import jsonschema
import pytest
from referencing import Registry

from claude_nb_gateway.api.routes import document
from claude_nb_gateway.testing.server import running_gateway

from .test_soak import Footprint

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

REQUESTS = 5_000
#: So many of them go to a model that there is: the others cost no process.
ASKING = 500
AT_ONCE = 8

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42m"
    "NkAAIAAAoAAv/lxKUAAAAASUVORK5CYII="
)
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

CORPUS = {
    "/chat/completions": {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "See this."},
                    {"type": "image_url", "image_url": {"url": PNG}},
                ],
            },
            {"role": "assistant", "content": "Yes?", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
            {"role": "user", "content": "And?"},
        ],
        "stream": False,
        "stop": ["END"],
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": "auto",
        "max_tokens": 100,
        "temperature": 0.5,
        "reasoning_effort": "low",
    },
    "/responses": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
        "instructions": "Be kind.",
        "tools": [{"type": "function", **FUNCTION}],
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "text"}},
        "metadata": {"a": "b"},
        "stream": False,
        "store": True,
    },
    "/messages": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": "done"}
                ],
            },
        ],
        "max_tokens": 100,
        "system": "Be kind.",
        "stop_sequences": ["END"],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "thinking": {"type": "adaptive"},
        "stream": False,
    },
    "/completions": {"prompt": "Hello", "stop": "END", "max_tokens": 9, "echo": False},
}

HOSTILE = (
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    2**70,
    "",
    " ",
    "\x00",
    "\ud83d",
    "/clear",
    "@/etc/passwd",
    "{}",
    "../../x",
    "data:image/png;base64,AAAA",
    "http://127.0.0.1:1/x.png",
    "x" * 70_000,
    [],
    {},
    [[]],
    [None],
    {"type": "x"},
    {"": ""},
    {"$ref": "http://127.0.0.1:1/"},
)


def places(value, path=()):
    """The path of every value inside `value`."""
    yield path
    items = []
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from places(inner, (*path, key))


def spoilt(body, chance):
    """A copy of `body` with some of it replaced, removed or doubled."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        *path, last = chance.choice([p for p in places(body) if p] or [("x",)])
        holder = body
        for key in path:
            holder = holder[key]
        what = chance.choice(("replace", "replace", "remove", "double"))
        if what == "replace" or last not in _keys(holder):
            holder[last] = chance.choice(HOSTILE)
        elif what == "remove":
            del holder[last]
        elif isinstance(holder, list):
            holder.insert(last, copy.deepcopy(holder[last]))
        else:
            holder[f"{last}_"] = copy.deepcopy(holder[last])
    return body


def _keys(holder):
    return holder if isinstance(holder, dict) else range(len(holder))


def raw(body, chance):
    data = bytearray(json.dumps(body).encode())
    if chance.random() < 0.1:
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.03:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


class Documented:
    """What the OpenAPI document says of answers."""

    def __init__(self):
        self.document = document()
        self.validators = {}

    def check(self, path, response):
        answers = self.document["paths"][f"/v1{path}"]["post"]["responses"]
        status = str(response.status_code)
        assert status in answers, (path, status, response.text[:500])
        assert response.status_code < 500, (path, response.text[:500])
        kind = response.headers["content-type"].partition(";")[0]
        if kind == "text/event-stream":
            return
        schema = answers[status]["content"][kind]["schema"]
        key = (path, status)
        if key not in self.validators:
            whole = {**schema, "components": self.document["components"]}
            validator = jsonschema.Draft202012Validator(whole, registry=Registry())
            self.validators[key] = validator
        self.validators[key].validate(response.json())


async def send_all(gateway, numbers):
    places_left = asyncio.Semaphore(AT_ONCE)
    documented, outcomes = Documented(), Counter()
    headers = {"Authorization": f"Bearer {gateway.key}"}
    headers["Content-Type"] = "application/json"
    async with httpx2.AsyncClient(headers=headers, timeout=60) as client:

        async def one(number):
            chance = random.Random(number)
            path = chance.choice(sorted(CORPUS))
            asks = number % (REQUESTS // ASKING) == 0
            body = {**CORPUS[path], "model": "sonnet" if asks else "no-such-model"}
            data = raw(spoilt(body, chance), chance)
            async with places_left:
                url = gateway.base_url + path
                response = await client.post(url, content=data)
            try:
                documented.check(path, response)
            except (AssertionError, jsonschema.ValidationError) as error:
                error.add_note(f"request {number}: {data[:3000]!r}")
                raise
            outcomes[response.status_code] += 1

        async with asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(one(number))
    return outcomes


def test_spoilt_requests_are_answered_as_documented(tmp_path, model):
    options = (
        "--CLIManager.session_idle_timeout_seconds=1",
        "--CLIManager.spare_idle_timeout_seconds=1",
        "--CLIManager.stall_timeout_seconds=30",
        "--CLIManager.max_processes=8",
        "--CLIManager.queue_timeout_seconds=60",
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    with running_gateway(tmp_path, model.url, *options, env=env) as gateway:
        asyncio.run(send_all(gateway, range(0, REQUESTS, REQUESTS // 100)))
        before = Footprint(gateway, temporary)
        outcomes = asyncio.run(send_all(gateway, range(REQUESTS)))
        after = Footprint(gateway, temporary, before.descriptors)
        print(dict(outcomes), before.descriptors, "→", after.descriptors, "descriptors")
        log = "".join(gateway.log)
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:5000]
        assert after.children == before.children == []
        assert after.descriptors <= before.descriptors
        assert after.directories == before.directories
