"""What a server that is killed leaves: whole sessions, and no processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal

import httpx2
import psutil
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.testing.server import running_gateway

from ..api.resources import chat, http, make_project, words
from ..conftest import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SESSIONS = 20
OPTIONS = ("--CLIManager.max_processes=24", "--CLIManager.spare_processes=0")


async def hold_turns(gateway, sessions, model):
    """A turn in each of `sessions` that has said something and does not end."""
    headers = {"Authorization": f"Bearer {gateway.key}"}
    async with httpx2.AsyncClient(
        base_url=gateway.base_url, headers=headers, timeout=120
    ) as client:

        async def hold(session, begun):
            body = {
                "model": "sonnet",
                "messages": [{"role": "user", "content": f"second of {session}"}],
                "session_id": session,
                "stream": True,
            }
            async with client.stream("POST", "chat/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    if "half" in line:
                        begun.set()

        begun = [asyncio.Event() for _ in sessions]
        tasks = [
            asyncio.create_task(hold(session, event))
            for session, event in zip(sessions, begun, strict=True)
        ]
        await asyncio.gather(*(event.wait() for event in begun))
        gateway.process.send_signal(signal.SIGKILL)
        await asyncio.gather(*tasks, return_exceptions=True)


def test_killed_in_the_middle_of_twenty_sessions_none_is_lost(tmp_path, model):
    with running_gateway(tmp_path, model.url, *OPTIONS) as gateway:
        with http(gateway) as client:
            make_project(client, "work")
            sessions = []
            for number in range(SESSIONS):
                body = {"project_id": "work"} if number % 2 else {}
                made = client.post("sessions", json={**body, "title": f"n{number}"})
                sessions.append(made.json()["id"])
            for session in sessions[: SESSIONS // 2]:
                words(chat(client, f"first of {session}", session_id=session))
        model.responder = lambda request: Reply(["half "], hang="after")
        processes = gateway.cli_processes
        asyncio.run(hold_turns(gateway, sessions, model))
        processes += gateway.cli_processes
    model.reset()
    psutil.wait_procs(processes, timeout=5)
    with (
        running_gateway(tmp_path, model.url, *OPTIONS) as gateway,
        http(gateway) as client,
    ):
        params = {"limit": 100}
        listed = client.get("sessions", params=params).json()["data"]
        titles = {s["id"]: s["title"] for s in listed}
        for number, session in enumerate(sessions):
            assert titles[session] == f"n{number}"
            answer = chat(client, f"third of {session}", session_id=session)
            assert words(answer) == f"third of {session}"
            asked = [t for role, t in model.requests[-1].turns if role == "user"]
            first = [f"first of {session}"] if number < SESSIONS // 2 else []
            expected = [*first, f"second of {session}", f"third of {session}"]
            assert asked == expected
            told = client.get(f"sessions/{session}").json()["messages"]
            assert told[-1]["content"] == f"third of {session}"


STUBBORN = "trap '' TERM; setsid nohup sleep 997 >/dev/null 2>&1 & sleep 998; true"


@pytest.mark.parametrize(
    ("command", "seen"), [("tail -f /dev/null", "tail -f"), (STUBBORN, "sleep 99")]
)
def test_killed_during_a_command_nothing_of_it_is_left(tmp_path, model, command, seen):
    allowed = "--Projects.allowed_tools=Bash"
    run = {"command": command, "description": "wait"}
    model.script(Reply(tool_uses=[ToolUse("Bash", [json.dumps(run)])]))
    with running_gateway(tmp_path, model.url, allowed) as gateway:
        with http(gateway) as client:
            make_project(client, "work")
        server = psutil.Process(gateway.process.pid)
        asked = asyncio.run(kill_while_it_runs(gateway, server, seen))
        _, alive = psutil.wait_procs(asked, timeout=3)
        left = [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
        assert left == []


async def kill_while_it_runs(gateway, server, command):
    """Kill the server as soon as `command` runs; all its descendants at that moment."""
    headers = {"Authorization": f"Bearer {gateway.key}"}
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "run it"}]}
    url = f"{gateway.base_url}/projects/work/chat/completions"
    async with httpx2.AsyncClient(headers=headers, timeout=60) as client:
        asking = asyncio.create_task(client.post(url, json=body))

        def runs():
            below[:] = server.children(recursive=True)
            return any(line.startswith(command) for line in map(_line, below))

        below = []
        await until(runs, 30)
        gateway.process.send_signal(signal.SIGKILL)
        await asyncio.gather(asking, return_exceptions=True)
    return below


def _line(process):
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
