from __future__ import annotations

import pytest

from claude_nb_gateway.notebook.gateway import find_connection


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ("http://localhost:8888", "http://localhost:8888/v1"),
        ("http://localhost:8888/", "http://localhost:8888/v1"),
        ("http://localhost:8888/user/x", "http://localhost:8888/user/x/v1"),
        ("http://localhost:8888/user/x/", "http://localhost:8888/user/x/v1"),
        ("http://localhost:8888/v1", "http://localhost:8888/v1"),
        ("http://localhost:8888/user/x/v1/", "http://localhost:8888/user/x/v1"),
        ("http://[::1]:8888/v10", "http://[::1]:8888/v10/v1"),
        (
            "http://localhost:8888/v1/projects/dir",
            "http://localhost:8888/v1/projects/dir",
        ),
    ],
)
def test_url_of_the_environment_may_leave_out_v1(monkeypatch, given, base_url):
    monkeypatch.setenv("CLAUDE_GATEWAY_URL", given)
    monkeypatch.delenv("CLAUDE_GATEWAY_KEY_FILE", raising=False)
    found = find_connection()
    assert found is not None
    assert found.base_url == base_url
