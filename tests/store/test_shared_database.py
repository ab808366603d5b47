"""Two users of a hub, each with a server of their own, on one PostgreSQL."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from claude_nb_gateway.testing.server import running_gateway

from ..api.resources import CHAT, chat, command, error_of, http, words
from .conftest import new_database

pytestmark = pytest.mark.soak

AT_HUB = {user: {"JUPYTERHUB_USER": user} for user in ("ann", "bob")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def home(place):
    """The path of everybody's home, as in the containers of a hub."""
    path = place / "home" / "jovyan"
    for name in ("work", "folder"):
        (path / name).mkdir(parents=True)
    return path


@pytest.fixture(scope="module")
def database(postgresql_server):
    return f"--Store.database_url={new_database(postgresql_server)}"


@pytest.fixture(scope="module")
def servers(place, home, database, model_server):
    """The server of each user, with files of its own, below the same root."""
    options = (f"--ServerApp.root_dir={home}", database)
    with ExitStack() as stack:
        found = []
        for user, at_hub in AT_HUB.items():
            (place / user).mkdir()
            server = running_gateway(
                place / user, model_server.url, *options, env=at_hub
            )
            found.append(stack.enter_context(server))
        yield found


@pytest.fixture
def clients(servers, model):
    with http(servers[0]) as ann, http(servers[1]) as bob:
        yield ann, bob


def test_users_of_one_database_see_nothing_of_each_other(clients, home):
    ann, bob = clients
    alone = ann.post("sessions", json={"title": "a secret"}).json()["id"]
    words(chat(ann, "mine", session_id=alone))
    project = ann.post("projects", json={"path": "work"}).json()["id"]
    within = ann.post("sessions", json={"project_id": project}).json()["id"]

    assert bob.get("sessions").json()["data"] == []
    assert bob.get("projects").json()["data"] == []
    for path in (f"sessions/{alone}", f"sessions/{within}", f"projects/{project}"):
        assert error_of(bob.get(path))[0] == 404
        assert error_of(bob.delete(path))[0] == 404
        assert ann.get(path).status_code == 200
    assert error_of(chat(bob, "theirs", session_id=alone))[0] == 404
    assert error_of(chat(bob, path=f"projects/{project}/{CHAT}"))[0] == 404


def hook(command):
    """The settings of a folder that run `command` at the start of a session."""
    hooks = [{"hooks": [{"type": "command", "command": command}]}]
    return json.dumps({"hooks": {"SessionStart": hooks}})


def test_trust_of_one_user_runs_no_hook_of_another(clients, home):
    ann, bob = clients
    (home / "folder" / ".claude").mkdir()
    settings = home / "folder" / ".claude" / "settings.json"
    settings.write_text(hook(f"touch {home}/ran"))
    ann.post("projects", json={"path": "folder"})
    assert ann.patch("projects/folder", json={"trusted": True}).json()["trusted"]

    words(chat(bob, path=f"projects/folder/{CHAT}"))
    assert not (home / "ran").exists()
    assert not bob.get("projects/folder").json()["trusted"]
    words(chat(ann, path=f"projects/folder/{CHAT}"))
    assert (home / "ran").exists()
    assert bob.get("projects/folder").json()["usage"]["turns"] == 1


def test_key_opens_its_owners_server_alone(servers, clients, model, database):
    create = ("key", "create", "--name", "ci", database)
    made = command(servers[0], model, *create, env=AT_HUB["ann"])
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    with http(servers[0], key) as at_ann, http(servers[1], key) as at_bob:
        words(chat(at_ann))
        assert error_of(chat(at_bob)) == (401, "invalid_api_key")
    show = ("key", "list", "--json", database)
    listed = command(servers[1], model, *show, env=AT_HUB["bob"])
    assert json.loads(listed.stdout) == []
