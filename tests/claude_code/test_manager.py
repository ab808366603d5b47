from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from dataclasses import replace

import psutil
import pytest

from claude_nb_gateway.claude_code.turns import Conversation, Setup
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.errors import (
    CLIExited,
    CLINotFound,
    CLITimeout,
    ModelNotFound,
    NotLoggedIn,
    SessionBusy,
    TooBusy,
    UpstreamError,
)
from claude_nb_gateway.turn.asking import answer
from claude_nb_gateway.turn.events import Ended, Text

from ..conftest import events_of, spares, step, text_of, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("cli_environment")]


def question(text="hello", max_output_tokens=None, **options):
    content = [{"type": "text", "text": text}]
    setup = Setup(**{"model": "sonnet", **options})
    return Conversation(setup, (), content, max_output_tokens)


async def run(manager, conversation=None):
    """Ask, and return the answer's text."""
    return text_of(await events_of(manager, conversation or question()))


def pids(manager, *kinds):
    """The processes of `manager`, of all kinds or of these."""
    processes = manager.snapshot().processes
    return [p.pid for p in processes if not kinds or p.kind in kinds]


def processes():
    return psutil.Process().children()  # the CLI replaces its wrapper


async def test_answer_ends_with_a_result(make):
    *_, ended = await events_of(make(), question())
    assert isinstance(ended, Ended)
    assert ended.reason == "end_turn"


async def test_shutdown_leaves_nothing(make, tmp_path):
    before = processes()
    manager = make()
    await run(manager)
    private = manager.snapshot().directory
    assert os.stat(private).st_mode & 0o777 == 0o700
    await manager.shutdown()
    assert processes() == before
    assert not os.path.exists(private)
    assert not os.listdir(tmp_path / "runtime")


async def test_making_a_manager_starts_nothing(make):
    before = processes()
    make()
    assert processes() == before


async def test_spares_are_kept_after_the_first_request(make, model):
    manager = make(spare_processes=2)
    await run(manager, question(system=("Be brief.",)))
    kept = await spares(manager, 2)
    plain, prepared = sorted(kept, key=lambda spare: spare.setup is not None)
    assert plain.setup is None
    assert prepared.setup.system == ("Be brief.",)
    await run(manager, question(system=("Be brief.",)))
    await run(manager, question(system=("Be a pirate.",), model="haiku"))
    assert {*pids(manager)} >= {plain.pid, prepared.pid}
    systems = [request.system.splitlines()[-1] for request in model.requests]
    assert systems == ["Be brief.", "Be brief.", "Be a pirate."]
    models = [request.body["model"].split("-")[1] for request in model.requests]
    assert models == ["sonnet", "sonnet", "haiku"]


async def test_nothing_reaches_the_api_that_no_client_asked_for(make, model):
    manager = make(
        spare_processes=2, max_spare_processes=2
    )  # the three may count as a burst
    await manager.catalog()
    await run(manager, question("one", system=("Be brief.",)))
    await spares(manager, 2)
    await run(manager, question("two", system=("Be brief.",)))
    await spares(manager, 2)
    assert [request.turns for request in model.requests] == [
        [("user", "one")],
        [("user", "two")],
    ]
    assert model.elsewhere == []


@pytest.mark.soak
@pytest.mark.parametrize(
    ("before", "options"),
    [
        ({}, {}),
        ({}, {"model": "haiku"}),
        ({}, {"effort": "low"}),
        ({}, {"principal": "someone else"}),
        ({"effort": "low"}, {}),
        ({"model": "haiku", "effort": "low"}, {"model": None}),
    ],
)
async def test_session_that_has_rehearsed_asks_like_a_fresh_one(
    make, model, before, options
):
    asked = question("one", system=("Be brief.",), **options)
    without_spares, manager = make(), make(spare_processes=2)
    await run(without_spares, asked)
    await run(manager, question("other", system=("Be brief.",), **before))
    (prepared,) = [spare for spare in await spares(manager, 2) if spare.setup]
    await run(manager, asked)
    assert prepared.pid in pids(manager, "idle")
    fresh, _, rehearsed = (request.body for request in model.requests)
    assert fresh.pop("metadata") != rehearsed.pop("metadata")
    own = without_spares.snapshot().directory
    moved = json.dumps(fresh).replace(own, manager.snapshot().directory)
    assert json.loads(moved) == rehearsed


@pytest.mark.soak
async def test_spares_grow_with_demand(make):
    manager = make(spare_processes=1, max_spare_processes=3)
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(run(manager, question(f"number {number}")))
    kept = await spares(manager, 3)
    assert [session.setup is None for session in kept].count(True) == 1


@pytest.mark.soak
async def test_killed_spare_is_replaced(make):
    manager = make(spare_processes=2)
    await run(manager)
    before = await spares(manager, 2)
    os.kill(before[0].pid, signal.SIGKILL)
    await until(lambda: before[0].pid not in pids(manager))
    assert before[0] not in await spares(manager, 2)
    assert await run(manager) == "hello"


@pytest.mark.soak
async def test_idle_spares_are_culled(make):
    before = processes()
    manager = make(spare_processes=2)
    await run(manager)
    await spares(manager, 2)
    manager.spare_idle_timeout_seconds = 0.1
    await run(manager)
    await until(lambda: len(pids(manager)) == len(pids(manager, "idle")) == 2)
    # What is left are those of the conversations, which may go on.
    assert len(processes()) == len(before) + 2


@pytest.mark.soak
async def test_setup_that_was_refused_is_not_prepared(make, caplog):
    manager = make(spare_processes=2)
    with pytest.raises(ModelNotFound):
        await run(manager, question(model="gpt-none"))
    assert [spare.setup for spare in await spares(manager, 2)] == [None, None]
    assert "no spare" not in caplog.text


async def test_process_of_a_request_that_gives_up_as_it_gets_it_is_kept(make):
    manager = make(spare_processes=2)
    asked = asyncio.create_task(run(manager))
    await step()
    assert manager.queue_length == 1
    while manager.queue_length:
        await step()
    (pid,) = pids(manager)
    asked.cancel()
    await asyncio.wait([asked])
    kept = await spares(manager, 2)
    assert pid in [spare.pid for spare in kept]
    assert manager.snapshot().places_taken == 2


async def test_process_that_starts_when_nobody_wants_it_any_more_is_ended(make):
    manager = make(spare_processes=2, spare_idle_timeout_seconds=0.1)
    asked = asyncio.create_task(run(manager))
    await step()
    assert manager.snapshot().starting
    asked.cancel()
    await until(lambda: not manager.snapshot().starting)
    await until(lambda: not pids(manager))
    assert not manager.snapshot().places_taken


async def test_above_the_ceiling_a_request_waits_then_is_refused(make):
    manager = make(max_processes=1, queue_timeout_seconds=0.2)
    async with manager.acquire(question()):
        with pytest.raises(TooBusy) as error:
            await run(manager)
        assert error.value.retry_after_seconds >= 1
    manager.queue_timeout_seconds = 20
    assert await run(manager) == "hello"


async def test_line_has_an_end_behind_which_requests_are_refused_at_once(make):
    manager = make(max_processes=1, max_queue_length=1, queue_timeout_seconds=30)
    async with manager.acquire(question()):
        waiting = asyncio.create_task(run(manager))
        await until(lambda: manager.queue_length == 1)
        async with asyncio.timeout(5):
            with pytest.raises(TooBusy, match="1 requests wait") as error:
                await run(manager)
        assert error.value.retry_after_seconds >= 1
        assert manager.queue_length == 1
    assert await waiting == "hello"


@pytest.mark.soak
async def test_line_for_a_session_has_an_end_too(make):
    manager = make(max_queue_length=1, session_wait_seconds=30)
    named = replace(question(), session_id=str(uuid.uuid4()))
    async with manager.acquire(named):
        waiting = asyncio.create_task(run(manager, named))
        await step()
        async with asyncio.timeout(5):
            with pytest.raises(SessionBusy):
                await run(manager, named)
    assert await waiting == "hello"


async def test_unwritable_runtime_directory_is_a_warning_and_no_more(
    make, monkeypatch, tmp_path, caplog
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file" / "runtime"))
    manager = make(session_idle_timeout_seconds=0.0, spare_processes=0)
    await manager.reap()
    for _ in range(2):
        assert await run(manager) == "hello"
        await until(lambda: not pids(manager))
    await manager.shutdown()
    assert not os.path.exists(manager.snapshot().directory)
    warnings = [r for r in caplog.records if "runtime directory" in r.message]
    assert len(warnings) == 1
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


async def test_those_who_want_the_models_wait_no_longer_for_being_many(make):
    manager = make(max_processes=1, queue_timeout_seconds=1.0)
    async with manager.acquire(question()):
        manager.models.loaded = False  # as if the CLI had not told them
        async with asyncio.timeout(2.5):
            results = await asyncio.gather(
                *(manager.catalog() for _ in range(4)), return_exceptions=True
            )
    assert [type(result) for result in results] == [TooBusy] * 4
    assert (await manager.catalog()).loaded


async def test_missing_cli_names_the_remedy(make):
    manager = make(cli_path="/nowhere/claude")
    with pytest.raises(CLINotFound, match="pip install claude-agent-sdk") as error:
        await run(manager)
    assert "/nowhere" not in error.value.message
    assert "/nowhere" in error.value.detail


async def test_no_login_names_the_remedy(make):
    manager = make(cli_env={"ANTHROPIC_API_KEY": ""})
    with pytest.raises(NotLoggedIn, match="jupyter claude-gateway login"):
        await run(manager)


async def test_silent_turn_is_given_up(make, model):
    model.script(Reply(["a"], hang="after"))
    manager = make(stall_timeout_seconds=1.0)
    with pytest.raises(CLITimeout, match="no output within 1 s"):
        await run(manager)
    assert await asyncio.to_thread(model.requests[0].abandoned.wait, 5)


@pytest.mark.soak
async def test_cli_that_hears_nothing_any_more_is_killed(make, model):
    model.script(Reply(["a"], hang="after"))
    manager = make(stall_timeout_seconds=1.0, close_grace_seconds=0.2)
    stuck = None
    with pytest.raises(CLITimeout, match="no output within"):
        async for _ in answer(manager, question()):
            if stuck is None and model.requests:
                (pid,) = pids(manager, "busy")
                stuck = psutil.Process(pid)
                stuck.suspend()
    await until(lambda: not stuck.is_running())
    assert await run(manager) == "hello"


@pytest.mark.soak
async def test_endless_turn_is_given_up(make, model):
    model.script(Reply(["a"] * 1000, delay_seconds=0.05))
    with pytest.raises(CLITimeout, match="end of its turn"):
        await run(make(turn_timeout_seconds=1.5))


@pytest.mark.soak
async def test_reader_that_is_always_behind_ends_at_the_turns_deadline(make, model):
    model.script(Reply(["a"] * 1000, delay_seconds=0.02))
    manager = make(turn_timeout_seconds=1.5)
    async with asyncio.timeout(10):
        with pytest.raises(CLITimeout, match="end of its turn"):
            async for batch in answer(manager, question()):
                if batch:
                    await until(lambda: manager.snapshot().of_kind("busy")[0].unread)
    await until(lambda: not manager.active_sessions)


@pytest.mark.soak
async def test_cli_that_does_not_read_its_question_is_ended(make, model):
    manager = make(close_grace_seconds=0.2)
    async with manager.acquire(question()) as lease:
        lease.session.process._input_timeout = 1.0
        stuck = psutil.Process(lease.session.process.pid)
        stuck.suspend()
        content = [{"type": "text", "text": "x" * 2**20}]
        turn = lease.session.ask(
            content, stall_timeout_seconds=60, turn_timeout_seconds=60
        )
        async with asyncio.timeout(10):
            with pytest.raises(CLITimeout, match="reading its input within 1 s"):
                await anext(turn)
    await until(lambda: not stuck.is_running())


async def test_killed_cli_is_told(make, model):
    model.script(Reply(["a"], hang="after"))
    manager = make()
    with pytest.raises(CLIExited):
        async for _ in answer(manager, question()):
            for pid in pids(manager, "busy"):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.soak
async def test_unrecoverable_error_does_not_wait_for_the_clis_retries(make, model):
    model.responder = lambda request: Reply(status=401)
    manager = make(api_max_retries=10)
    async with asyncio.timeout(5):
        with pytest.raises(UpstreamError) as error:
            await run(manager)
    assert error.value.status == 401


async def test_unreachable_api_is_an_upstream_error(make):
    manager = make(cli_env={"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"})
    with pytest.raises(UpstreamError) as error:
        await run(manager)
    assert error.value.status is None
    assert "127.0.0.1" not in error.value.message


async def test_leaving_early_interrupts_the_turn(make, model):
    model.script(Reply(["a"] * 1000, delay_seconds=0.05))
    async for batch in (turn := answer(make(), question())):
        if any(isinstance(event, Text) for event in batch):
            break
    await turn.aclose()
    assert await asyncio.to_thread(model.requests[0].abandoned.wait, 1)


async def test_environment_of_the_cli_holds_no_secret(make, monkeypatch):
    monkeypatch.setenv("JUPYTER_TOKEN", "secret-token")
    async with make().acquire(question()) as lease:
        environment = psutil.Process(lease.session.process.pid).environ()
    assert "secret-token" not in environment.values()


async def test_settings_reach_the_model(make, model):
    await run(make(), question(effort="low", max_output_tokens=77))
    body = model.requests[0].body
    assert body["max_tokens"] == 77
    assert body["output_config"]["effort"] == "low"
