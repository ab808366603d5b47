from __future__ import annotations

import pytest

from claude_nb_gateway.access.hub import STARTED_BY_HUB, under_hub


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    for name in STARTED_BY_HUB:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", STARTED_BY_HUB)
def test_any_variable_of_a_hub_tells_of_it(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert under_hub()


@pytest.mark.parametrize("name", [*STARTED_BY_HUB, "JUPYTERHUB_OTHER"])
def test_empty_and_other_variables_do_not(monkeypatch, name):
    monkeypatch.setenv(name, "" if name in STARTED_BY_HUB else "x")
    assert not under_hub()
