"""What the real CLI tells of its own tools, as events."""

from __future__ import annotations

import json
import uuid

import pytest

from claude_nb_gateway.claude_code.profile import Profile
from claude_nb_gateway.claude_code.turns import Conversation, Setup
from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.turn.events import (
    Ended,
    Text,
    ToolDenied,
    ToolEnded,
    ToolStarted,
)

from ..conftest import events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("cli_environment")]


@pytest.fixture
def directory(tmp_path, monkeypatch):
    # Claude's tools keep out of the CLI's own directory.
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "configuration"))
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "notes.txt").write_text("what is in it")
    return directory


@pytest.fixture
def ask(make, directory):
    """Ask in a project where Claude may use these tools, and get the events."""

    async def ask(*tools):
        profile = Profile(str(directory), trusted=True, tools=tools)
        question = [{"type": "text", "text": "go"}]
        setup = Setup("sonnet", profile=profile)
        asked = Conversation(setup, (), question, session_id=str(uuid.uuid4()))
        return await events_of(make(), asked)

    return ask


def use(name, number, **arguments):
    return ToolUse(name, [json.dumps(arguments)], id=f"toolu_{number}")


async def test_tool_starts_and_ends_between_the_words_of_the_model(
    ask, model, directory
):
    file = directory / "notes.txt"
    read = use("Read", 1, file_path=str(file))
    model.script(Reply(["I look. "], tool_uses=[read]), Reply(["Seen."]))
    events = await ask("Read")
    kinds = [type(event) for event in events]
    order = [kinds.index(kind) for kind in (Text, ToolStarted, ToolEnded, Ended)]
    assert order == sorted(order)
    (started,) = [event for event in events if isinstance(event, ToolStarted)]
    assert (started.id, started.name) == ("toolu_1", "Read")
    assert started.input == {"file_path": str(file)}
    (ended,) = [event for event in events if isinstance(event, ToolEnded)]
    assert (ended.id, ended.failed) == ("toolu_1", False)
    assert "what is in it" in json.dumps(ended.content)


async def test_tool_that_needs_leave_is_denied_and_fails(ask, model, directory):
    write = use("Write", 1, file_path=str(directory / "new.txt"), content="x")
    model.script(Reply(tool_uses=[write]), Reply(["I may not."]))
    events = await ask("Write")
    (denied,) = [event for event in events if isinstance(event, ToolDenied)]
    assert (denied.id, denied.name) == ("toolu_1", "Write")
    assert denied.reason
    (ended,) = [event for event in events if isinstance(event, ToolEnded)]
    assert (ended.id, ended.failed) == ("toolu_1", True)
    assert not (directory / "new.txt").exists()


async def test_sub_agents_tools_name_the_call_that_started_it(ask, model, directory):
    file = directory / "notes.txt"
    agent = use(
        "Agent",
        1,
        description="look",
        prompt="look into the notes",
        subagent_type="general-purpose",
        run_in_background=False,
    )
    read = use("Read", 2, file_path=str(file))

    def responder(request):
        said = json.dumps(request.messages)
        if "look into the notes" in request.turns[0][1]:
            return (
                Reply(["found"]) if "what is in it" in said else Reply(tool_uses=[read])
            )
        return Reply(["done"]) if "found" in said else Reply(tool_uses=[agent])

    model.responder = responder
    events = await ask("Read", "Agent")
    started = [event for event in events if isinstance(event, ToolStarted)]
    assert [(event.name, event.parent_id) for event in started] == [
        ("Agent", None),
        ("Read", "toolu_1"),
    ]
    ended = [event for event in events if isinstance(event, ToolEnded)]
    assert [(event.id, event.parent_id) for event in ended] == [
        ("toolu_2", "toolu_1"),
        ("toolu_1", None),
    ]
    assert "".join(event.text for event in events if isinstance(event, Text)) == "done"
