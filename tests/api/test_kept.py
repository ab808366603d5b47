"""What is kept of what was asked is bounded, however much is asked."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest

from claude_nb_gateway.access.callers import Caller
from claude_nb_gateway.access.rights import Identity
from claude_nb_gateway.claude_code.manager import CLIManager
from claude_nb_gateway.store.records import Project, SessionRecord
from claude_nb_gateway.store.store import Store
from claude_nb_gateway.workspace import projects, sessions
from claude_nb_gateway.workspace.projects import Projects
from claude_nb_gateway.workspace.sessions import Sessions

pytestmark = pytest.mark.anyio

CALLER = Caller("me", Identity.SERVER)


@pytest.fixture
async def store(tmp_path):
    store = Store(database_url=f"sqlite:///{tmp_path}/gateway.db")
    await store.open()
    yield store
    await store.close()


async def test_directories_that_were_only_entered_are_forgotten(
    tmp_path, store, monkeypatch
):
    monkeypatch.setattr(projects, "MOST_KNOWN", 5)
    found = Projects(root=str(tmp_path), allow_hidden=lambda: False, store=store)
    for number in range(30):
        (tmp_path / f"d{number}").mkdir()
    entered = await found.enter("d0", CALLER)
    for number in range(1, 30):
        await found.enter(f"d{number}", CALLER)
    gc.collect()
    assert len(found._known) <= 5
    assert len(found._new) <= 6
    # Who still works in one of them can have it written down.
    assert (await found.registered(entered.project)).id == entered.project.id


def record(number, system=""):
    return SessionRecord(id=str(number), owner="me", system=system)


def test_sessions_with_long_prompts_are_not_kept_without_end():
    known = Sessions()
    for number in range(100):
        known._remember(record(number, "x" * 200_000 * 5))
    kept = sum(len(one.system) for one in known._known.values())
    assert 0 < kept <= sessions.MOST_KNOWN_CHARACTERS
    assert "99" in known._known


async def test_transcripts_seen_are_not_kept_without_end(store, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_SEEN", 100)
    changed = {f"s{number}": (1.0, "tail") for number in range(40)}
    known = Sessions(store=store)
    transcripts = SimpleNamespace(
        changed=lambda directory, seen: {
            f"{directory}-{name}": at for name, at in changed.items()
        }
    )
    monkeypatch.setattr(CLIManager, "transcripts", transcripts)
    known.manager = CLIManager()
    for number in range(10):
        project = Project(id=f"proj_{number}", directory=f"/d{number}", name="d")
        await store.add_project(project)
        await known._discover([project])
    assert sum(map(len, known._seen.values())) <= 100
    assert "/d9" in known._seen
