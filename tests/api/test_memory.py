"""What is the user's own reaches nobody else, and nothing a turn says outlives it."""

from __future__ import annotations

import json
import re
import shutil
import sys

import httpx2
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse

from .resources import CHAT, chat, http, make_key, make_project, runtime_file, words

MCP_SERVER = """\
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    tool = {"name": "act", "description": "Act.", "inputSchema": {"type": "object"}}
    answers = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "folder", "version": "1"},
        },
        "tools/list": {"tools": [tool]},
    }
    if "id" in asked:
        result = answers.get(asked["method"], {})
        said = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
        print(json.dumps(said), flush=True)
"""

# What the model must never be told of, below the directory of configuration.
NOTES = {
    "CLAUDE.md": "NOTE-OF-THE-USER @more.md",
    "more.md": "IMPORT-OF-THE-USER",
    "rules/mine.md": "RULE-OF-THE-USER",
}
# What only the user's own turns are told of.
OWN = {
    "agents/mine.md": "---\nname: mine\ndescription: AGENT-OF-THE-USER\n---\nbody",
    "skills/mine/SKILL.md": "---\nname: mine\ndescription: SKILL-OF-THE-USER\n---\n",
    "commands/own.md": "---\ndescription: COMMAND-OF-THE-USER\n---\nbody",
}
KEY_TOOLS = "Read,Write,Edit,Glob,Grep,Agent,Skill"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def use(name, number, **fields):
    return ToolUse(name, [json.dumps(fields)], f"toolu_{number}")


@pytest.fixture
def furnished():
    """Has a directory of configuration hold what users have there, for a while."""
    made = []

    def furnish(gateway):
        home = gateway.directory / "home"
        for name, text in {**NOTES, **OWN}.items():
            write(home / name, text)
            made.append(home / name)
        return home

    yield furnish
    for path in made:
        path.unlink()


@pytest.fixture(scope="module")
def scoped_key(_gateway, model_server):
    return make_key(_gateway, model_server, "memory", "--tools", KEY_TOOLS)


@pytest.fixture(params=["token", "key", "keyless"])
def caller(request):
    return request.param


@pytest.fixture
def gateway_of_caller(request, caller):
    name = "standalone_gateway" if caller == "keyless" else "gateway"
    return request.getfixturevalue(name)


@pytest.fixture
def client(request, caller, gateway_of_caller):
    if caller == "keyless":
        url = gateway_of_caller.base_url
        with httpx2.Client(base_url=url, timeout=60) as client:
            yield client
        return
    key = request.getfixturevalue("scoped_key") if caller == "key" else None
    with http(gateway_of_caller, key) as client:
        yield client


class Folder:
    """A project with a memory, whose settings would turn it on again."""

    def __init__(self, gateway, name):
        self.path = gateway.directory / name
        shutil.rmtree(self.path, ignore_errors=True)
        self.memory = (
            gateway.directory
            / "home"
            / "projects"
            / re.sub("[^a-zA-Z0-9]", "-", str(self.path))
            / "memory"
        )
        write(self.memory / "MEMORY.md", "MEMORY-OF-ANOTHER")
        write(self.path / "CLAUDE.md", "NOTE-OF-THE-FOLDER")
        settings = {"env": {"CLAUDE_CODE_DISABLE_AUTO_MEMORY": "0"}}
        write(self.path / ".claude" / "settings.json", json.dumps(settings))
        write(self.path / "server.py", MCP_SERVER)
        server = {"command": sys.executable, "args": [str(self.path / "server.py")]}
        write(self.path / ".mcp.json", json.dumps({"mcpServers": {"folder": server}}))
        (self.path / "link").symlink_to(gateway.directory / "home")


@pytest.mark.soak
@pytest.mark.parametrize("trusted", [False, True])
def test_memory_is_no_way_across(
    client, caller, gateway_of_caller, model, furnished, trusted
):
    gateway = gateway_of_caller
    home = furnished(gateway)
    folder = Folder(gateway, f"memory-{caller}-{trusted}")
    if trusted:
        with http(gateway) as owner:
            project = make_project(owner, folder.path.name)
            owner.patch(f"projects/{project['id']}", json={"trusted": True})
    wishes = [folder.memory / "new.md", folder.path / "link" / "rules" / "new.md"]
    model.script(
        *(
            Reply(tool_uses=[use("Write", i, file_path=str(p), content="REMEMBER")])
            for i, p in enumerate(wishes)
        ),
        Reply(["I may not."]),
    )
    path = f"projects/{folder.path.name}/{CHAT}"
    assert words(chat(client, path=path, max_tokens=500)) == "I may not."
    assert [wish for wish in wishes if wish.exists()] == []
    sent = json.dumps([request.body for request in model.requests])
    assert "NOTE-OF-THE-FOLDER" in sent
    assert re.findall(r"(?:NOTE|IMPORT|RULE)-OF-THE-USER|MEMORY-OF-ANOTHER", sent) == []
    # The user's own agents, skills and servers are the user's alone.
    own = set(re.findall(r"(?:AGENT|SKILL|COMMAND)-OF-THE-USER", sent))
    listed = {tool["name"] for tool in model.requests[0].body["tools"]}
    weak = caller != "token"
    assert ("SKILL-OF-THE-USER" in own) is (not weak)
    assert own == set() or not weak
    assert ("mcp__folder__act" in listed) is (trusted and not weak)
    if caller == "key":
        assert listed == set(KEY_TOOLS.split(","))
    assert (home / "CLAUDE.md").read_text() == NOTES["CLAUDE.md"]


@pytest.mark.soak
@pytest.mark.parametrize("name", ["token", "key"])
def test_credentials_below_the_root_are_not_read(request, gateway, model, name):
    key = request.getfixturevalue("scoped_key") if name == "key" else None
    root, home = gateway.directory, gateway.directory / "home"
    secrets = [home / ".credentials.json", home / "backups" / ".claude.json.backup.1"]
    for secret in secrets:
        write(secret, '{"secret": "VERY-SECRET"}')
    runtime = runtime_file(gateway)
    kernel_key = json.loads(runtime.read_text())["api_key"]
    notes = root / "CLAUDE.md"
    write(notes, f"@home/.credentials.json\n@runtime/{runtime.name}\nNOTE-OF-THE-ROOT")
    looking = "VERY-SECRET|api_key|firstStartTime"
    uses = [
        use("Read", 1, file_path=str(secrets[0])),
        use("Read", 2, file_path=str(secrets[1])),
        use("Read", 3, file_path=str(home / ".claude.json")),
        use("Read", 4, file_path=str(runtime)),
        use("Read", 5, file_path=str(root / "data/claude_nb_gateway/gateway.db")),
        use("Grep", 6, pattern=looking, path=str(root), output_mode="content"),
        use("Grep", 7, pattern=looking, path=str(home), output_mode="content"),
        use("Read", 8, file_path="/proc/self/environ"),
    ]
    model.script(*(Reply(tool_uses=[use]) for use in uses), Reply(["done"]))
    try:
        with http(gateway) as owner, http(gateway, key) as client:
            project = make_project(owner, ".")
            path = f"projects/{project['id']}/{CHAT}"
            assert words(chat(client, path=path)) == "done"
            owner.delete(f"projects/{project['id']}")
    finally:
        for made in (*secrets, notes):
            made.unlink()
    sent = json.dumps([request.body for request in model.requests])
    assert "NOTE-OF-THE-ROOT" in sent
    results = re.findall(r'"toolu_[0-9]"', json.dumps(model.requests[-1].body))
    assert len(set(results)) == len(uses)
    for secret in ('secret\\": \\"VERY', kernel_key, 'firstStartTime\\"'):
        assert secret not in sent.replace("\\\\", "\\")


def test_root_that_holds_the_configuration_is_warned_of(gateway):
    (line,) = [line for line in gateway.log if "configuration directory" in line]
    assert str(gateway.directory / "home") in line
