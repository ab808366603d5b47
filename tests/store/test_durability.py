from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

WRITER = """
import asyncio, itertools, sys
from claude_nb_gateway.store.records import SessionRecord, TurnRecord
from claude_nb_gateway.store.store import Store

async def main():
    store = Store(database_url=sys.argv[1])
    for number in itertools.count():
        name = str(number)
        await store.put_session(SessionRecord(name, "ann"))
        store.record(TurnRecord("ann", "m", "ok", 1.0, 1.0, session_id=name))
        await store.flush()
        print(name, flush=True)

asyncio.run(main())
"""


def written_until_killed(url):
    command = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        acknowledged = [next(writer.stdout).strip() for _ in range(40)]
        writer.kill()
        rest = writer.stdout.readlines()
    return acknowledged + [line.strip() for line in rest if line.endswith("\n")]


async def test_what_was_acknowledged_survives_sigkill(store, url):
    acknowledged = await asyncio.to_thread(written_until_killed, url)
    sessions, _ = await store.sessions(limit=10_000)
    turns = {session.id: session.totals.turns for session in sessions}
    assert [turns.get(name) for name in acknowledged] == [1] * len(acknowledged)
    assert store.problem == ""
