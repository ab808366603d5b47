"""Each identity does each action with each resource, at real servers.

What comes of it must be what the table of `rights` says, and the columns are those of
SECURITY.md.
"""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from claude_nb_gateway.access.rights import (
    RIGHTS,
    Action,
    Identity,
    Reach,
    Resource,
    as_table,
)
from claude_nb_gateway.connection import key_of_kernel
from claude_nb_gateway.testing.server import STANDALONE, running_gateway

from ..api.resources import (
    CHAT,
    chat,
    error_of,
    http,
    in_terminal,
    make_key,
    make_project,
    runtime_file,
)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


# What of the user's own reaches the model is looked at where settings and memory are.
PROJECT_ACTIONS = [
    action
    for resource, action in RIGHTS
    if resource is Resource.PROJECT
    and action not in (Action.USE_SETTINGS, Action.USE_MEMORY)
]


class World:
    """A server with two projects, and clients of it."""

    def __init__(self, gateway, model, client):
        self.gateway = gateway
        self.model = model
        self.client = client

    def project(self, where):
        with http(self.gateway) as owner:
            return make_project(owner, where)

    def session(self, begun_by, where):
        """The id of a session, begun by the client, by the server or in a terminal."""
        if begun_by == "terminal":
            session = str(uuid.uuid4())
            said = ("--session-id", session, "in the terminal")
            ended = in_terminal(self.gateway, self.model, where, *said)
            assert ended.returncode == 0, ended.stderr
            return session
        body = {} if where is None else {"project_id": where}
        with http(self.gateway) as owner:
            maker = self.client if begun_by == "itself" else owner
            response = maker.post("sessions", json=body)
        return response.json()["id"] if response.status_code == 200 else None


def of_a_session(world, action, session):
    url = f"sessions/{session}"
    client = world.client
    return {
        Action.READ: lambda: client.get(url),
        Action.CONTINUE: lambda: chat(client, session_id=session),
        Action.FORK: lambda: client.post(f"{url}/fork", json={}),
        Action.INTERRUPT: lambda: client.post(f"{url}/interrupt", json={}),
        Action.RENAME: lambda: client.patch(url, json={"title": "x"}),
        Action.DELETE: lambda: client.delete(url),
    }[action]()


def of_a_project(world, action, where):
    client, project = world.client, world.project(where)
    url = f"projects/{project['id']}"
    return {
        Action.READ: lambda: client.get(url),
        Action.WORK: lambda: chat(client, path=f"projects/{where}/{CHAT}"),
        Action.USE_ALL_TOOLS: lambda: chat(client, path=f"projects/{where}/{CHAT}"),
        Action.MAKE_DIRECTORY: lambda: client.post(
            "projects", json={"path": f"{where}/{uuid.uuid4()}"}
        ),
        Action.CHANGE: lambda: client.patch(url, json={"description": "x"}),
        Action.TRUST: lambda: client.patch(url, json={"trusted": True}),
        Action.DELETE: lambda: client.delete(url),
    }[action]()


@pytest.fixture(scope="module")
def servers(model_server, tmp_path_factory):
    """A Jupyter server, and a gateway alone that asks for no key."""
    with ExitStack() as stack:
        made = []
        for command in (("server", "--no-browser"), STANDALONE):
            directory = tmp_path_factory.mktemp("rights")
            running = running_gateway(directory, model_server.url, command=command)
            made.append(stack.enter_context(running))
            for where in ("mine", "other"):
                (directory / where).mkdir()
        yield made


@pytest.fixture(scope="module")
def keys(servers, model_server):
    """The key of each identity; None where none is sent."""
    jupyter, _ = servers
    root = jupyter.base_url.removesuffix("/v1")
    notebook = {"path": "mine/a.ipynb", "type": "notebook", "name": "a.ipynb"}
    started = httpx2.post(
        f"{root}/api/sessions",
        json={**notebook, "kernel": {"name": "python3"}},
        headers={"Authorization": f"Bearer {jupyter.key}"},
        timeout=30,
    ).json()
    runtime = json.loads(runtime_file(jupyter).read_text())
    with http(jupyter) as owner:
        project = make_project(owner, "mine")["id"]
    return {
        Identity.SERVER: jupyter.key,
        Identity.KERNEL: key_of_kernel(runtime["api_key"], started["kernel"]["id"]),
        Identity.KEY: make_key(jupyter, model_server, "all"),
        Identity.PROJECT_KEY: make_key(
            jupyter, model_server, "mine", "--project", project
        ),
        Identity.LOCAL: None,
    }


@pytest.fixture
def world(request, servers, keys, model):
    identity = request.getfixturevalue("identity")
    gateway = servers[identity is Identity.LOCAL]
    headers = {}
    if (key := keys[identity]) is not None:
        headers["Authorization"] = f"Bearer {key}"
    with httpx2.Client(
        base_url=gateway.base_url, headers=headers, timeout=60
    ) as client:
        yield World(gateway, model, client)


def was_allowed(response):
    if response.status_code == 200:
        return True
    assert error_of(response)[0] in (403, 404), response.text
    return False


@pytest.mark.parametrize("identity", Identity)
def test_chat_without_a_project(world, identity):
    allowed = RIGHTS[Resource.CHAT, Action.ASK][identity] is Reach.ALL
    assert was_allowed(chat(world.client)) is allowed


@pytest.mark.parametrize("identity", Identity)
@pytest.mark.parametrize("where", ["mine", "other"])
@pytest.mark.parametrize("action", PROJECT_ACTIONS)
def test_project(world, identity, where, action):
    if identity is Identity.SERVER:
        where += "-deleted"  # the others still need theirs
    reach = RIGHTS[Resource.PROJECT, action][identity]
    allowed = reach is Reach.ALL or (reach is Reach.DIRECTORY and where == "mine")
    before = world.project(where)
    response = of_a_project(world, action, where)
    if action is Action.USE_ALL_TOOLS:
        found = response.status_code == 200 and "Bash" in {
            tool["name"] for tool in world.model.requests[-1].body["tools"]
        }
        assert found is allowed
        return
    assert was_allowed(response) is allowed
    if not allowed and action is not Action.WORK:
        after = world.project(where)
        for field in ("id", "name", "description", "path", "trusted"):
            assert after[field] == before[field]


@pytest.mark.parametrize("identity", Identity)
@pytest.mark.parametrize("begun_by", ["itself", "server", "terminal"])
@pytest.mark.parametrize("where", ["mine", "other"])
def test_session_in_a_project(world, identity, begun_by, where):
    world.project(where)
    bound = identity in (Identity.KERNEL, Identity.PROJECT_KEY)
    for resource, action in RIGHTS:
        if resource is not Resource.PROJECT_SESSION:
            continue
        session = world.session(begun_by, where)
        if session is None:
            assert bound
            assert where == "other"
            continue
        reach = RIGHTS[resource, action][identity]
        within = where == "mine" or not bound
        allowed = {
            Reach.NONE: False,
            Reach.OWN: within and begun_by == "itself",
            Reach.DIRECTORY: within,
            Reach.ALL: True,
        }[reach]
        response = of_a_session(world, action, session)
        assert was_allowed(response) is allowed, (action, response.text)
        if begun_by == "terminal" and not allowed:
            home = world.gateway.directory / "home"
            assert len(list(home.rglob(f"{session}.jsonl"))) == 1


@pytest.mark.parametrize("identity", Identity)
@pytest.mark.parametrize("begun_by", ["itself", "server"])
def test_session_without_a_project(world, identity, begun_by):
    for resource, action in RIGHTS:
        if resource is not Resource.LONE_SESSION:
            continue
        session = world.session(begun_by, None)
        reach = RIGHTS[resource, action][identity]
        if session is None:
            assert reach is Reach.NONE
            continue
        own = begun_by == "itself" or identity is Identity.SERVER
        response = of_a_session(world, action, session)
        allowed = reach is Reach.OWN and own
        assert was_allowed(response) is allowed, (action, response.text)


@pytest.mark.parametrize("identity", Identity)
def test_stored_response_is_its_callers_own(world, identity):
    place = "" if identity is not Identity.PROJECT_KEY else "projects/mine/"
    body = {"model": "sonnet", "input": "hello"}
    own = world.client.post(f"{place}responses", json=body).json()["id"]
    with http(world.gateway) as owner:
        others = owner.post("responses", json=body).json()["id"]
    assert was_allowed(world.client.get(f"{place}responses/{own}"))
    seen = was_allowed(world.client.get(f"{place}responses/{others}"))
    assert seen is (identity is Identity.SERVER)


@pytest.mark.parametrize("identity", Identity)
@pytest.mark.parametrize("path", ["contents", "kernels", "terminals", "sessions"])
def test_rest_of_the_jupyter_server(world, identity, path):
    root = world.gateway.base_url.removesuffix("/v1")
    response = httpx2.get(f"{root}/api/{path}", headers=world.client.headers)
    assert (response.status_code == 200) is (identity is Identity.SERVER)


def test_security_has_the_table():
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    for row in as_table():
        assert f"| {' | '.join(row)} |" in text
