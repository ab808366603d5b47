from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from claude_nb_gateway.claude_code import locations
from claude_nb_gateway.claude_code.guard import Guarded, restrictions_in, settings_for
from claude_nb_gateway.claude_code.profile import Profile
from claude_nb_gateway.claude_code.tools import ungranted_tools
from claude_nb_gateway.claude_code.turns import Conversation, Setup, Tool
from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.errors import ProtocolError

from ..conftest import events_of, text_of

pytestmark = pytest.mark.anyio

FILES = ("Read", "Write", "Edit", "Glob", "Grep")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def use(name, number, **fields):
    return ToolUse(name, [json.dumps(fields)], f"toolu_{number}")


@pytest.fixture
def configuration(tmp_path, monkeypatch, make):
    """The CLI's directory of configuration, with signs in its name."""
    path = tmp_path / "odd [x] (y) {a,b}" / ".claude"
    path.mkdir(parents=True)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(path))
    monkeypatch.setenv("IS_SANDBOX", "1")
    return path


@pytest.fixture
def profile(tmp_path):
    """A profile that may do all in a project that it may do anywhere."""
    directory = tmp_path / "project"
    write(directory / "CLAUDE.md", "NOTE-OF-THE-FOLDER")
    return Profile(str(directory), tools=FILES, permission_mode="bypassPermissions")


async def ask(manager, profile, text="go on"):
    setup = Setup("sonnet", principal="me", profile=profile)
    asked = Conversation(setup, (), [{"type": "text", "text": text}])
    return text_of(await events_of(manager, asked))


def memory_of(configuration, profile):
    name = re.sub("[^a-zA-Z0-9]", "-", profile.directory)
    return configuration / "projects" / name / "memory"


async def test_no_mode_lets_a_turn_write_below_the_configuration(
    make, model, configuration, profile
):
    wishes = [
        configuration / "CLAUDE.md",
        configuration / "settings.json",
        configuration / "plans" / "another.md",
        memory_of(configuration, profile) / "MEMORY.md",
    ]
    uses = [
        use("Write", i, file_path=str(path), content="{}")
        for i, path in enumerate(wishes)
    ]
    inside = Path(profile.directory, "inside.txt")
    uses.append(use("Write", 9, file_path=str(inside), content="of the project"))
    model.script(*(Reply(tool_uses=[u]) for u in uses), Reply(["done"]))
    personal = replace(profile, personal=True)
    assert await ask(make(), personal) == "done"
    assert [path for path in wishes if path.exists()] == []
    assert inside.read_text() == "of the project"


async def test_memory_that_is_granted_is_read_and_written_and_nothing_else_is(
    make, model, configuration, profile
):
    memory = memory_of(configuration, profile)
    write(memory / "MEMORY.md", "MEMORY-OF-BEFORE")
    write(configuration / "CLAUDE.md", "NOTE-OF-THE-USER")
    wishes = [
        configuration / "settings.json",
        configuration / "skills" / "new" / "SKILL.md",
        configuration / "plans" / "another.md",
        memory.parent / "transcript.jsonl",
        memory / "new.md",
    ]
    uses = [
        use("Write", i, file_path=str(path), content="{}")
        for i, path in enumerate(wishes)
    ]
    model.script(*(Reply(tool_uses=[u]) for u in uses), Reply(["done"]))
    granted = replace(profile, trusted=True, personal=True, user_memory=True)
    assert await ask(make(), granted) == "done"
    assert [path for path in wishes if path.exists()] == [memory / "new.md"]
    sent = json.dumps(model.requests[0].body)
    assert "MEMORY-OF-BEFORE" in sent
    assert "NOTE-OF-THE-USER" in sent


@pytest.mark.soak
async def test_odd_directory_of_configuration_keeps_the_users_notes(
    make, model, configuration, profile
):
    write(configuration / "CLAUDE.md", "NOTE-OF-THE-USER")
    write(configuration / "rules" / "r.md", "RULE-OF-THE-USER")
    assert await ask(make(), replace(profile, personal=True)) == "go on"
    sent = json.dumps(model.requests[0].body)
    assert "NOTE-OF-THE-FOLDER" in sent
    assert "OF-THE-USER" not in sent


@pytest.mark.soak
async def test_plan_is_written_in_the_project(make, model, configuration, profile):
    written = []

    def plan(request):
        if written:
            return Reply(["planned"])
        sent = json.dumps(request.body)
        written.append(re.search(r'(/[^ `"\\]*plans/[^ `"\\]*?\.md)', sent)[1])
        return Reply(
            tool_uses=[use("Write", 1, file_path=written[0], content="THE PLAN")]
        )

    model.responder = plan
    assert await ask(make(), replace(profile, permission_mode="plan")) == "planned"
    assert written[0].startswith(f"{profile.directory}/.claude/plans/")
    assert Path(written[0]).read_text() == "THE PLAN"


async def test_users_leave_is_the_users_alone_and_what_it_forbids_is_everybodys(
    make, model, configuration, profile
):
    rules = {"allow": ["Bash(touch:*)"], "deny": ["Read(./secret.txt)"]}
    write(configuration / "settings.json", json.dumps({"permissions": rules}))
    made, secret = (Path(profile.directory, name) for name in ("made", "secret.txt"))
    write(secret, "VERY-SECRET")
    model.script(
        Reply(tool_uses=[use("Read", 1, file_path=str(secret))]),
        Reply(tool_uses=[use("Bash", 2, command=f"touch {made}", description="x")]),
        Reply(["done"]),
    )
    weak = replace(profile, permission_mode="default", tools=("Read", "Bash"))
    assert await ask(make(), weak) == "done"
    assert "VERY-SECRET" not in json.dumps([r.body for r in model.requests])
    assert not made.exists()


@pytest.mark.soak
async def test_turn_with_more_tools_than_were_granted_is_stopped(
    make, model, profile, tmp_path
):
    # A CLI that takes our word for a suggestion.
    wilful = tmp_path / "claude"
    cli = make().find_cli()
    wilful.write_text(f'#!/bin/sh\nexec "{cli}" "$@" Bash\n')
    wilful.chmod(0o700)
    limited = replace(profile, tools=("Read",), permission_mode="default")
    with pytest.raises(ProtocolError) as raised:
        await ask(make(cli_path=str(wilful)), limited)
    assert raised.value.detail.endswith(": Bash")
    assert "Bash" not in raised.value.message


@pytest.mark.soak
@pytest.mark.parametrize("personal", [False, True])
async def test_servers_of_the_user_are_the_users_alone(
    make, model, configuration, profile, personal
):
    script = f"touch '{configuration}/started'"
    servers = {"own": {"command": "sh", "args": ["-c", script]}}
    write(configuration / ".claude.json", json.dumps({"mcpServers": servers}))
    trusted = replace(profile, trusted=True, personal=personal)
    assert await ask(make(), trusted) == "go on"
    assert (configuration / "started").exists() is personal


@pytest.mark.parametrize(
    ("listed", "profile", "beyond"),
    [
        (["Read", "Task"], Profile("/d", tools=("Read", "Agent")), []),
        (["Read", "Bash"], Profile("/d", tools=("Read",)), ["Bash"]),
        (["mcp__client__f"], Profile(), []),
        (["mcp__client__g"], Profile(), ["mcp__client__g"]),
        (["mcp__own__f"], Profile("/d", trusted=True), ["mcp__own__f"]),
        (["mcp__own__f"], Profile("/d", personal=True), ["mcp__own__f"]),
        (["mcp__own__f"], Profile("/d", trusted=True, personal=True), []),
        (["StructuredOutput"], Profile(), ["StructuredOutput"]),
    ],
)
async def test_what_is_beyond_the_grant(listed, profile, beyond):
    setup = Setup("sonnet", tools=(Tool("f", "", "{}"),), profile=profile)
    assert ungranted_tools(listed, setup) == beyond


async def test_guarded_are_all_names_of_a_place(tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "home").symlink_to(real)
    home = str(tmp_path / "home")
    guarded = locations.guarded({"HOME": home}, [f"{home}/gateway.db"])
    assert guarded.configuration == (f"{home}/.claude", f"{real}/.claude")
    assert f"{real}/.claude.json*" in guarded.credentials
    for private in (".jupyter", "gateway.db", ".pgpass"):
        assert f"{real}/{private}" in guarded.private


async def test_rule_of_the_users_settings_keeps_its_place():
    permissions = {"deny": ["Read(/a)", "Read(//b)", "Read(~/c)", 1], "allow": ["Bash"]}
    settings = {"permissions": permissions, "sandbox": {"enabled": True}, "env": {}}
    found = restrictions_in(settings, "/home/me/.claude")
    denied = ["Read(//home/me/.claude/a)", "Read(//b)", "Read(~/c)"]
    assert found == {"permissions": {"deny": denied}, "sandbox": {"enabled": True}}
    assert restrictions_in([], "/") == restrictions_in({"permissions": 1}, "/") == {}
    own = settings_for(Profile("/d", personal=True), Guarded(restrictions=found))
    assert "Read(//b)" not in own["permissions"]["deny"]
