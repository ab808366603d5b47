"""The command, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from claude_nb_gateway.access.keys import key_id, matches, refusal
from claude_nb_gateway.commands.key import expiry, tool_names
from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.store.store import Store
from claude_nb_gateway.testing.server import hermetic_environment

from ..store.conftest import turn

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

COMMAND = [sys.executable, "-W", "error", "-m", "claude_nb_gateway.commands.key"]
DAY_SECONDS = 24 * 3600


@pytest.fixture
def run(tmp_path):
    environment = hermetic_environment(tmp_path, "http://127.0.0.1:1")

    def run(*arguments):
        command = [*COMMAND, *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True
        )

    return run


@pytest.fixture
async def open_store():
    """Open stores; they are closed."""
    stores = []

    def open_store(database_url):
        stores.append(Store(database_url=database_url))
        return stores[-1]

    yield open_store
    for store in stores:
        await store.close()


@pytest.fixture
def default_store(open_store, tmp_path):
    path = tmp_path / "data" / "claude_nb_gateway" / "gateway.db"
    return open_store(f"sqlite:///{path}")


def refused(result):
    """The one line that says why."""
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


async def test_key_is_made_listed_used_and_revoked(run, default_store, tmp_path):
    (tmp_path / "work").mkdir()
    options = ("--project", "work", "--expires", "30d", "--tools", "Read, Grep")
    made = run("create", "--name", "ci", *options)
    assert made.returncode == 0, made.stderr
    text = made.stdout.removesuffix("\n")
    assert text not in made.stderr
    key = await default_store.key(key_id(text))
    assert matches(text, key)
    assert refusal(key, time.time()) == ""
    assert (key.name, key.tools) == ("ci", ("Read", "Grep"))
    assert key.expires_at == key.created_at + 30 * DAY_SECONDS
    project = await default_store.project(key.project_id)
    assert project.directory == str((tmp_path / "work").resolve())
    assert (project.name, project.trusted) == ("work", False)

    default_store.record(turn(key_id=key.id))
    await default_store.flush()
    head, row = run("list").stdout.splitlines()
    assert head.split()[:4] == ["ID", "NAME", "PROJECT", "TOOLS"]
    assert row.startswith(f"{key.id}  ci    {project.directory}  Read,Grep  ")
    assert row.split()[-3:] == ["1", "10", "$0.50"]
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["id"], listed["directory"]) == (key.id, project.directory)
    assert listed["totals"]["cost_usd"] == 0.5
    assert "hash" not in listed

    revoked = run("revoke", "ci")
    assert (revoked.returncode, revoked.stdout) == (0, "")
    key = await default_store.key(key.id)
    assert "revoked" in refusal(key, time.time())
    assert "no valid key" in refused(run("revoke", key.id))


async def test_key_for_everything_has_no_limits(run, default_store):
    made = run("create", "--name", "all of it")
    key = await default_store.key(key_id(made.stdout.strip()))
    assert (key.project_id, key.tools, key.expires_at) == (None, None, None)
    assert "another name" in refused(run("create", "--name", "all of it"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "create, list, revoke"),
        (["create", "--name", "tab\there"], "--name"),
        (["create", "--name", "k", "--expires", "30"], "30d"),
        (["create", "--name", "k", "--project", "absent"], "neither"),
        (["create", "--name", "k", "--project", f"proj_{'0' * 24}"], "no project"),
        (["create", "--name", "k", "more"], "more"),
        (["revoke"], "one key"),
    ],
)
def test_mistake_is_said_in_one_line(run, arguments, says):
    assert says in refused(run(*arguments))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("2m", 120), ("3h", 10800), ("4d", 345600), ("5w", 3024000)],
)
def test_expiry_is_a_number_and_a_unit(text, seconds):
    assert expiry(text, now=100.0) == 100.0 + seconds


@pytest.mark.parametrize(
    "text", ["", "d", "1", "1y", "-1d", "1.5d", "0d", "1d ", "999999999999w", "\u0661d"]
)
def test_no_other_expiry_is_taken(text):
    with pytest.raises(InvalidRequest, match="30d"):
        expiry(text, now=100.0)


def test_tools_are_names_between_commas():
    assert tool_names("Read, mcp__x__y") == ("Read", "mcp__x__y")
    for text in ("Read,", "Bash(ls)", "a b", "Rëad"):
        with pytest.raises(InvalidRequest, match="--tools"):
            tool_names(text)


def test_trouble_of_the_database_is_told_with_its_detail(run, tmp_path):
    (tmp_path / "file.db").write_bytes(b"not what SQLite writes\n" * 1000)
    line = refused(run("list", f"--Store.database_url=sqlite:///{tmp_path}/file.db"))
    assert "move it away" in line
    assert "DatabaseError" in line


async def test_database_is_the_one_the_server_is_configured_for(
    run, open_store, tmp_path
):
    url = f"sqlite:///{tmp_path}/other.db"
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "jupyter_server_config.py"
    config.write_text(f"c.Store.database_url = {url!r}\n")
    made = run("create", "--name", "ci")
    (key,) = await open_store(url).keys()
    assert key.id == key_id(made.stdout.strip())
