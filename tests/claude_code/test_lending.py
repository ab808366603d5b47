"""Which process a request gets, and what becomes of it on the way there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from dataclasses import replace

import pytest

from claude_nb_gateway.claude_code.models import ModelCatalog
from claude_nb_gateway.claude_code.pool.warmup import Warmup
from claude_nb_gateway.claude_code.turns import Conversation, Setup
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.errors import ProtocolError, ShuttingDown, UpstreamError
from claude_nb_gateway.turn.asking import answer
from claude_nb_gateway.turn.events import Text

from ..conftest import events_of, spares, step, text_of, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("cli_environment")]

# The real CLI behind a pipe in which `initialize` is slow and leaves a mark. Nothing
# comes through where that many were started before as the file `stuck` says.
SLOW = """#!{python}
import pathlib, subprocess, sys, time
marks = pathlib.Path({marks!r})
started = len(list(marks.glob("start-*")))
(marks / f"start-{{started}}").touch()
if (marks / "stuck").exists() and (marks / "stuck").read_text() == str(started):
    sys.exit(sys.stdin.buffer.read() and 0)
cli = subprocess.Popen([{cli!r}, *sys.argv[1:]], stdin=subprocess.PIPE)
for line in sys.stdin.buffer:
    if b'"initialize"' in line:
        (marks / f"initialize-{{time.monotonic_ns()}}").touch()
        time.sleep(0.7)
    cli.stdin.write(line)
    cli.stdin.flush()
cli.stdin.close()
sys.exit(cli.wait())
"""


@pytest.fixture
def slow_cli(make, tmp_path):
    path = tmp_path / "claude"
    cli = make().find_cli()
    path.write_text(SLOW.format(python=sys.executable, cli=cli, marks=str(tmp_path)))
    path.chmod(0o755)
    return str(path)


def asked(system="", session_id=""):
    setup = Setup("sonnet", system=(system,), principal=system)
    question = [{"type": "text", "text": f"from {system}"}]
    return Conversation(setup, (), question, session_id=session_id)


async def run(manager, conversation):
    return text_of(await events_of(manager, conversation))


def prompts(model):
    return {r.turns[-1][1]: r.system.splitlines()[-1] for r in model.requests}


async def test_nobody_is_served_under_the_prompt_of_another(
    make, model, slow_cli, tmp_path
):
    manager = make(cli_path=slow_cli, spare_processes=2, max_processes=8)
    await run(manager, asked("A"))
    await until(lambda: len(list(tmp_path.glob("initialize-*"))) == 2)
    # One gets the plain spare, the other waits while a spare is bound to A.
    await asyncio.gather(*(run(manager, asked(name)) for name in "BC"))
    assert prompts(model) == {f"from {name}": name for name in "ABC"}


async def test_session_that_does_not_fit_is_not_opened(make, model):
    async with make().acquire(asked("A")) as lease:
        with pytest.raises(ProtocolError, match="another request"):
            await Warmup(ModelCatalog()).prepare(lease.session, asked("B").setup)


async def test_spare_that_hangs_fails_no_request(make, model):
    manager = make(
        spare_processes=1, max_spare_processes=1, control_timeout_seconds=5.0
    )
    await run(manager, asked("A"))
    (spare,) = await spares(manager, 1)
    os.kill(spare.pid, signal.SIGSTOP)
    assert await run(manager, asked("B")) == "from B"


@pytest.mark.soak
async def test_spare_that_fails_fails_no_request(make, model, slow_cli, tmp_path):
    manager = make(cli_path=slow_cli, spare_processes=1, control_timeout_seconds=3)
    (tmp_path / "stuck").write_text("1")
    await run(manager, asked("A"))
    await until(lambda: (tmp_path / "start-1").exists())
    assert await run(manager, asked("B")) == "from B"


async def test_interrupt_is_not_lost_while_the_session_is_initialized(
    make, model, slow_cli
):
    manager = make(cli_path=slow_cli, spare_processes=0)
    session_id = str(uuid.uuid4())
    turn = asyncio.create_task(run(manager, asked("A", session_id)))
    await until(lambda: manager.active_sessions)
    assert await manager.interrupt(session_id)
    assert await turn == ""
    assert not model.requests
    assert await run(manager, asked("A", session_id)) == "from A"


async def test_interrupt_is_not_lost_while_the_turn_waits_for_a_process(make, model):
    manager = make(max_processes=1, spare_processes=0)
    session_id = str(uuid.uuid4())
    async with manager.acquire(asked("other")):
        turn = asyncio.create_task(run(manager, asked("A", session_id)))
        await until(lambda: manager.queue_length == 1)
        assert await manager.interrupt(session_id)
    assert await turn == ""
    assert not model.requests


async def test_interrupt_says_that_there_is_nothing_to_stop(make):
    assert not await make().interrupt(str(uuid.uuid4()))


async def test_turn_that_a_shutdown_cuts_is_accounted_for(make, model):
    model.script(Reply(["a"], hang="after"))
    manager, accounts = make(), []
    with pytest.raises(ShuttingDown):
        async for batch in answer(manager, asked("A"), account_to=accounts.append):
            if any(isinstance(event, Text) for event in batch):
                shutdown = asyncio.create_task(manager.shutdown())
    await shutdown
    assert [account.outcome for account in accounts] == ["interrupted"]


@pytest.mark.soak
@pytest.mark.parametrize("steps", range(8))
async def test_shutdown_is_never_an_empty_answer(make, model, steps):
    manager, session_id = make(), str(uuid.uuid4())
    await run(manager, asked("A", session_id))
    turn = asyncio.create_task(run(manager, asked("A", session_id)))
    for _ in range(steps):
        await step()
    await manager.shutdown()
    with pytest.raises(ShuttingDown):
        await turn


async def test_calls_of_a_turn_that_has_ended_are_not_waited_for(make, model):
    model.script(Reply(["a", "b"], delay_seconds=0.2))
    accounts = []
    async with make().acquire(asked("A")) as lease:
        turn = lease.session.ask(
            asked("A").question,
            stall_timeout_seconds=30,
            turn_timeout_seconds=30,
            account_to=accounts.append,
        )
        await anext(turn)
        await until(lambda: accounts)  # its end has come, and is not read
        assert not lease.session.wait_for_results("msg", ["call"])
        async for _ in turn:
            pass
        assert not lease.session.wait_for_results("msg", ["call"])
        assert lease.session.at_rest


async def test_failed_turn_counts_for_the_model_that_was_asked(make, model):
    manager, accounts = make(spare_processes=2), []
    await run(manager, asked("A"))
    await spares(manager, 2)
    model.responder = lambda request: Reply(status=400)
    other = replace(asked("A"), setup=replace(asked("A").setup, model="haiku"))
    with pytest.raises(UpstreamError):
        await events_of(manager, other, account_to=accounts.append)
    (account,) = accounts
    assert (account.model, account.outcome) == ("haiku", "failed")
