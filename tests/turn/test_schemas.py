"""Checking in a process of its own; what it checks is in `test_schema_worker`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import textwrap

import psutil
import pytest

from claude_nb_gateway.errors import InvalidRequest, TooBusy
from claude_nb_gateway.turn.schemas import SchemaChecker

from ..conftest import until

pytestmark = pytest.mark.anyio

TEXT = {"type": "string"}
BACKTRACKING = {"pattern": "^(a+)+$"}
WITHOUT_END = "a" * 40 + "b"


@pytest.fixture
async def checker():
    checker = SchemaChecker(check_cpu_seconds=0.3, check_timeout_seconds=60)
    yield checker
    await checker.close()


async def mismatch(checker, schema, value):
    return await checker.mismatch(json.dumps(schema), json.dumps(value), "tools")


async def still_answers(checker):
    return await mismatch(checker, TEXT, "x") == ""


async def test_check_without_end_is_ended_and_the_event_loop_goes_on(checker):
    check = asyncio.create_task(mismatch(checker, BACKTRACKING, WITHOUT_END))
    loop = asyncio.get_running_loop()
    turns = 0

    def turn():
        nonlocal turns
        turns += 1
        if not check.done():
            loop.call_soon(turn)

    turn()
    with pytest.raises(InvalidRequest, match="too long to check") as error:
        await check
    assert turns > 100
    assert error.value.param == "tools"
    assert await still_answers(checker)


async def test_what_is_no_schema_is_refused_by_the_name_of_its_field(checker):
    schema = {"properties": {"a": {"type": "objekt"}}}
    with pytest.raises(InvalidRequest) as error:
        await checker.check_schema(json.dumps(schema), "tools[0].parameters")
    assert error.value.param == "tools[0].parameters.properties.a.type"


async def test_one_process_serves_all_and_has_no_secrets(
    checker, monkeypatch, tmp_path
):
    monkeypatch.setenv("JUPYTER_TOKEN", "secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jsonschema.py").write_text("raise SystemExit")
    own = psutil.Process()
    before = set(own.children())
    assert all(await asyncio.gather(*(still_answers(checker) for _ in range(10))))
    (worker,) = set(own.children()) - before
    assert "secret" not in worker.environ().values()
    assert not streams_of(worker) & streams_of(own)
    await checker.close()
    assert set(own.children()) <= before


def streams_of(process):
    return {os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (0, 1)}


@pytest.mark.soak
async def test_answers_are_not_mixed_up_when_one_who_asks_has_gone(checker):
    asking = asyncio.create_task(mismatch(checker, TEXT, 1))
    await until(lambda: checker._lock.locked())
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await still_answers(checker)


async def test_the_wait_in_line_is_bounded(checker):
    checker.check_timeout_seconds = 0
    async with checker._lock:
        with pytest.raises(TooBusy):
            await still_answers(checker)


PARENT = """
    import asyncio, json
    from claude_nb_gateway.turn.schemas import SchemaChecker

    async def main():
        checker = SchemaChecker(check_cpu_seconds=1)
        await checker.check_schema("{}", "tools")
        print(checker._worker.pid, flush=True)
        await checker.mismatch('{"pattern": "^(a+)+$"}', '"%s"', "tools")

    asyncio.run(main())
"""


@pytest.mark.soak
async def test_worker_ends_with_its_parent_though_it_is_busy():
    program = textwrap.dedent(PARENT) % WITHOUT_END
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    worker = psutil.Process(int(await parent.stdout.readline()))
    begun = worker.cpu_times().user
    await until(lambda: worker.cpu_times().user > begun + 0.1)
    parent.kill()
    await parent.wait()
    await until(lambda: not worker.is_running() or worker.status() == "zombie", 30)
