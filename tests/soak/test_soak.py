"""Many requests in a row, a third of them abandoned: nothing may be left behind."""

from __future__ import annotations

import asyncio
import os
import random
import threading

import openai
import psutil
import pytest

from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import running_gateway

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

REQUESTS = 500
AT_ONCE = 4
WARM_UP = 60
MEMORY_GROWTH_BYTES = 24 * 2**20


class Footprint:
    """What a server holds, when it has nothing to do."""

    def __init__(self, gateway, temporary, most_descriptors=0):
        self.server = psutil.Process(gateway.process.pid)
        for process in gateway.cli_processes:
            process.wait(30)  # the idle ones are culled
        for _ in range(100):  # the last connections and pipes take their time
            self.descriptors = self.server.num_fds()
            if self.descriptors <= most_descriptors:
                break
            threading.Event().wait(0.1)
        self.memory = self.server.memory_info().rss
        self.children = self.server.children(recursive=True)
        self.directories = sorted(os.listdir(temporary))


async def talk(client, number, chance):
    """Ask once; every third caller hangs up at some moment."""
    question = [{"role": "user", "content": f"request {number}"}]
    asked = client.chat.completions.create(
        model="sonnet", messages=question, stream=bool(number % 2)
    )
    if number % 3 == 0:
        try:
            async with asyncio.timeout(chance.uniform(0.0, 0.8)):
                await finish(await asked)
        except TimeoutError:
            return
    else:
        await finish(await asked)


async def finish(answer):
    if isinstance(answer, openai.AsyncStream):
        async for _ in answer:
            pass


async def talk_often(gateway, numbers):
    chance = random.Random(4)
    places = asyncio.Semaphore(AT_ONCE)
    options = {"base_url": gateway.base_url, "api_key": gateway.key, "max_retries": 0}
    async with openai.AsyncOpenAI(**options) as client:

        async def one(number):
            async with places:
                await talk(client, number, chance)

        async with asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(one(number))


def test_nothing_is_left_of_many_requests(tmp_path, model):
    model.responder = lambda request: Reply(["word "] * 10, delay_seconds=0.01)
    options = (
        "--CLIManager.session_idle_timeout_seconds=1",
        "--CLIManager.spare_idle_timeout_seconds=1",
        "--CLIManager.max_processes=8",
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    with running_gateway(tmp_path, model.url, *options, env=env) as gateway:
        asyncio.run(talk_often(gateway, range(WARM_UP)))
        before = Footprint(gateway, temporary)
        model.requests.clear()
        asyncio.run(talk_often(gateway, range(WARM_UP, WARM_UP + REQUESTS)))
        after = Footprint(gateway, temporary, before.descriptors)
        grown = (after.memory - before.memory) / 2**20
        print(
            f"{before.descriptors} → {after.descriptors} descriptors, {grown:+.1f} MiB"
        )
        log = "".join(gateway.log)
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:5000]
        assert after.children == before.children == []
        assert after.descriptors <= before.descriptors
        assert after.directories == before.directories
        assert after.memory - before.memory < MEMORY_GROWTH_BYTES
