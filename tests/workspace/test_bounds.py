"""What is kept in memory of projects is bounded, however many are asked for."""

from __future__ import annotations

import gc
import weakref

import pytest

from claude_nb_gateway.access.callers import Caller
from claude_nb_gateway.access.rights import Identity
from claude_nb_gateway.workspace import projects
from claude_nb_gateway.workspace.projects import Projects

pytestmark = pytest.mark.anyio

CALLER = Caller("me", Identity.SERVER)


async def test_directories_that_were_only_resolved_are_forgotten(
    tmp_path, store, monkeypatch
):
    monkeypatch.setattr(projects, "MAX_CACHED", 5)
    found = Projects(root=str(tmp_path), allow_hidden=lambda: False, store=store)
    for number in range(30):
        (tmp_path / f"d{number}").mkdir()
    resolved = await found.resolve("d0", CALLER)
    alive = [weakref.ref(resolved.project)]
    for number in range(1, 30):
        other = await found.resolve(f"d{number}", CALLER)
        alive.append(weakref.ref(other.project))
    del other
    gc.collect()
    assert sum(1 for project in alive if project() is not None) <= 6
    # A turn that still works in one of them can put it into the store.
    registered = await found.registered(resolved.project)
    assert registered.id == resolved.project.id
