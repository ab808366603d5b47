"""A whole gateway on a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from claude_nb_gateway.testing.server import hermetic_environment, running_gateway

from ..api.resources import CHAT, chat, http, make_project, words

pytestmark = pytest.mark.soak


def test_projects_sessions_and_keys_are_kept_in_postgresql(
    tmp_path, model, postgresql_url
):
    option = f"--Store.database_url={postgresql_url}"
    with running_gateway(tmp_path, model.url, option) as gateway:
        with http(gateway) as client:
            make_project(client, "work")
            session = client.post("sessions", json={"project_id": "work"}).json()["id"]
            words(chat(client, "one", session_id=session))
        create = ("key", "create", "--name", "k", "--project", "work", option)
        made = subprocess.run(
            [sys.executable, "-m", "claude_nb_gateway", *create],
            env=hermetic_environment(tmp_path, model.url),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        with http(gateway, made.stdout.strip()) as client:
            words(chat(client, path=f"projects/work/{CHAT}"))
    with (
        running_gateway(tmp_path, model.url, option) as gateway,
        http(gateway) as client,
    ):
        words(chat(client, "two", session_id=session))
        listed = client.get("sessions").json()["data"]
        assert [s["usage"]["turns"] for s in listed] == [2, 1]
        assert client.get("projects/work").json()["usage"]["turns"] == 3
    assert "one" in json.dumps(model.requests[-1].messages)
    assert not (tmp_path / "data" / "claude_nb_gateway" / "gateway.db").exists()
