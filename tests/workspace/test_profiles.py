from __future__ import annotations

import pytest

from claude_nb_gateway.access.callers import Caller
from claude_nb_gateway.access.rights import Identity
from claude_nb_gateway.store.records import KeyRecord, Project
from claude_nb_gateway.store.store import Store
from claude_nb_gateway.workspace.directories import Place
from claude_nb_gateway.workspace.projects import Projects, ResolvedProject

pytestmark = pytest.mark.anyio

# The user has those, and nobody else has them.
OWN_SETTINGS = {Identity.SERVER, Identity.KERNEL}
OWN_MEMORY = {Identity.SERVER}


@pytest.mark.parametrize("identity", Identity)
async def test_what_the_user_has_in_claude_code_is_the_users(tmp_path, identity):
    directory = str(tmp_path)
    key = KeyRecord("k", "k", "") if "API key" in identity else None
    caller = Caller("me", identity, key, directory)
    place = Place(directory, 1, 2)
    for trusted in (False, True):
        project = Project("proj_1", directory, "p", trusted=trusted)
        resolved = ResolvedProject(project, place)
        for user_memory in (False, True):
            projects = Projects(
                root=directory,
                allow_hidden=lambda: False,
                store=Store(),
                user_memory=user_memory,
            )
            profile = await projects.profile(resolved, caller)
            assert profile.personal is (identity in OWN_SETTINGS)
            expected = user_memory and trusted and identity in OWN_MEMORY
            assert profile.user_memory is expected
            assert profile.has_servers is (trusted and identity in OWN_SETTINGS)
