from __future__ import annotations

import pytest

from claude_nb_gateway.store.store import Store


@pytest.fixture
async def store(tmp_path):
    """A store in a file of its own."""
    store = Store(database_url=f"sqlite:///{tmp_path}/gateway.db")
    await store.open()
    yield store
    await store.close()
