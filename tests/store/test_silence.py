from __future__ import annotations

import pytest

from claude_nb_gateway.testing.server import EXTENSION, STANDALONE, running_gateway


@pytest.mark.parametrize(
    "command", [EXTENSION, pytest.param(STANDALONE, marks=pytest.mark.soak)]
)
def test_making_the_database_says_nothing_of_alembic(tmp_path, model, command):
    with running_gateway(tmp_path, model.url, command=command) as gateway:
        assert gateway.stop() == 0  # with the store open, which it waits for
    assert (tmp_path / "data" / "claude_nb_gateway" / "gateway.db").exists()
    assert "alembic" not in "".join(gateway.log).lower()
