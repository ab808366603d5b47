"""Sessions of terminals get into the store, each transcript once."""

from __future__ import annotations

import json
import os
import uuid

import pytest

from claude_nb_gateway.claude_code.transcripts import Transcripts
from claude_nb_gateway.store.records import Project, SessionRecord
from claude_nb_gateway.workspace.discovery import TERMINAL, Discovery

pytestmark = pytest.mark.anyio


class Terminal:
    """Writes transcripts as the CLI in a terminal does, and counts who reads them."""

    def __init__(self, path):
        self._path = path
        self.transcripts = Transcripts(path)
        self.looks = []

    def __call__(self):
        transcripts, looks = self.transcripts, self.looks

        class Watched:
            describe = transcripts.describe

            def changed(self, directory, seen):
                found = transcripts.changed(directory, seen)
                looks.append(set(found))
                return found

        return Watched()

    def say(self, project, words, session_id=None, at=1000.0):
        """Add a message to a session, by default a new one; returns its id."""
        session_id = session_id or str(uuid.uuid4())
        directory = project.directory
        folder = self._path / "projects" / directory.replace("/", "-").replace("_", "-")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{session_id}.jsonl"
        entry = {
            "type": "user",
            "uuid": str(uuid.uuid4()),
            "parentUuid": None,
            "sessionId": session_id,
            "cwd": directory,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "message": {"role": "user", "content": words},
        }
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        os.utime(path, (at, at))
        return session_id


@pytest.fixture
def terminal(tmp_path):
    return Terminal(tmp_path / "claude")


@pytest.fixture
async def add_project(store):
    async def add_project(name):
        project = Project(id=f"proj_{name}", directory=f"/work/{name}", name=name)
        return await store.add_project(project)

    return add_project


async def test_session_of_a_terminal_is_added_once(store, terminal, add_project):
    project = await add_project("a")
    discovery = Discovery(store, terminal)
    session_id = terminal.say(project, "hello")
    for _ in range(3):
        await discovery.discover([project])
    record = await store.session(session_id)
    assert (record.owner, record.project_id) == (TERMINAL, project.id)
    assert record.created_at == record.updated_at == 1000.0
    assert record.last_uuid
    assert terminal.looks == [{session_id}, set(), set()]


async def test_session_that_went_on_is_updated(store, terminal, add_project):
    project = await add_project("a")
    discovery = Discovery(store, terminal)
    session_id = terminal.say(project, "hello")
    await discovery.discover([project])
    terminal.say(project, "still there?", session_id, at=2000.0)
    await discovery.discover([project])
    record = await store.session(session_id)
    assert (record.created_at, record.updated_at) == (1000.0, 2000.0)


async def test_session_that_the_store_knows_stays_its_owners(
    store, terminal, add_project
):
    project = await add_project("a")
    session_id = terminal.say(project, "hello")
    own = SessionRecord(session_id, "me", project.id, title="mine")
    await store.put_session(own)
    await Discovery(store, terminal).discover([project])
    found = await store.session(session_id)
    assert (found.owner, found.title) == ("me", "mine")


async def test_transcripts_of_other_directories_are_left_alone(
    store, terminal, add_project
):
    # Both names lead to the same folder of transcripts.
    dash, underline = await add_project("a-b"), await add_project("a_b")
    session_id = terminal.say(dash, "hello")
    discovery = Discovery(store, terminal)
    await discovery.discover([underline])
    assert await store.session(session_id) is None
    await discovery.discover([underline, dash])
    assert (await store.session(session_id)).project_id == dash.id


async def test_title_comes_from_the_transcript(store, terminal, add_project):
    project = await add_project("a")
    discovery = Discovery(store, terminal)
    for words in ("How tall is the tower?", "And the church?"):
        terminal.say(project, words)
    await discovery.discover([project])
    records, _ = await store.sessions(project_ids=[project.id])
    records[0].title = "a title of its own"
    await discovery.add_titles(records, {project.id: project})
    other = records[1]
    assert records[0].title == "a title of its own"
    assert other.title in ("How tall is the tower?", "And the church?")
    assert (await store.session(other.id)).title == other.title
    assert (await store.session(records[0].id)).title == ""


async def test_sessions_without_a_project_get_no_title(store, terminal):
    record = await store.put_session(SessionRecord(str(uuid.uuid4()), "me"))
    await Discovery(store, terminal).add_titles([record], {})
    assert record.title == ""


async def test_forgotten_transcripts_are_read_again(store, terminal, add_project):
    project = await add_project("a")
    discovery = Discovery(store, terminal)
    first, second = terminal.say(project, "one"), terminal.say(project, "two")
    await discovery.discover([project])
    discovery.forget(project.directory, first)
    discovery.forget(project.directory, "unknown")
    await discovery.discover([project])
    discovery.forget(project.directory)
    assert discovery.remembered == 0
    await discovery.discover([project])
    assert terminal.looks == [{first, second}, {first}, {first, second}]


async def test_transcripts_are_not_remembered_without_end(store, terminal, add_project):
    discovery = Discovery(store, terminal, max_remembered=100)
    for number in range(10):
        project = await add_project(f"d{number}")
        for _ in range(40):
            terminal.say(project, "hello")
        await discovery.discover([project])
        assert discovery.remembered <= 100
    await discovery.discover([project])
    assert terminal.looks[-1] == set()
    await discovery.discover([await store.project("proj_d0")])
    assert len(terminal.looks[-1]) == 40
