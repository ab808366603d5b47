"""Who may do what: decided by what an identity may, in one table."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack

import httpx2
import pytest

from claude_nb_gateway.access.callers import Caller
from claude_nb_gateway.access.rights import RIGHTS, Action, Identity, Reach, Resource
from claude_nb_gateway.connection import key_of_kernel
from claude_nb_gateway.store.records import KeyRecord, Project

from .resources import (
    CHAT,
    chat,
    error_of,
    http,
    in_terminal,
    make_key,
    make_project,
    runtime_file,
    words,
)

BELOW_THE_SERVER = [identity for identity in Identity if identity != Identity.SERVER]


def kernels_key(gateway, kernel_id=None):
    key = json.loads(runtime_file(gateway).read_text())["api_key"]
    return key if kernel_id is None else key_of_kernel(key, kernel_id)


@pytest.fixture(scope="module")
def mine(_gateway):
    """The id of a kernel that runs a notebook in `rights/mine`."""
    (_gateway.directory / "rights" / "mine").mkdir(parents=True)
    (_gateway.directory / "rights" / "other").mkdir()
    root = _gateway.base_url.removesuffix("/v1")
    headers = {"Authorization": f"Bearer {_gateway.key}"}
    body = {"path": "rights/mine/a.ipynb", "type": "notebook", "name": "a.ipynb"}
    body["kernel"] = {"name": "python3"}
    with httpx2.Client(base_url=root, headers=headers, timeout=30) as jupyter:
        session = jupyter.post("/api/sessions", json=body).raise_for_status().json()
        yield session["kernel"]["id"]
        jupyter.delete(f"/api/sessions/{session['id']}")


@pytest.fixture
def owner(gateway):
    with http(gateway) as client:
        yield client


@pytest.fixture
def kernel(gateway, mine):
    with http(gateway, kernels_key(gateway, mine)) as client:
        yield client


@pytest.fixture(scope="module")
def project_key(_gateway, mine, model_server):
    option = str(_gateway.directory / "rights" / "mine")
    return make_key(_gateway, model_server, "rights-mine", "--project", option)


@pytest.fixture(scope="module")
def open_key(_gateway, model_server):
    return make_key(_gateway, model_server, "rights-all")


@pytest.fixture(params=["kernel", "project key"])
def bound(request, gateway, mine, project_key):
    """A caller that is for the directory `rights/mine` alone."""
    keys = {"kernel": kernels_key(gateway, mine), "project key": project_key}
    with http(gateway, keys[request.param]) as client:
        yield client


@pytest.fixture(params=["kernel", "key", "keyless"])
def weak(request, standalone_gateway, gateway, mine, open_key):
    """A server and a caller that is not the server's own identity."""
    with ExitStack() as stack:
        if request.param == "keyless":
            url = standalone_gateway.base_url
            client = httpx2.Client(base_url=url, timeout=60)
            (standalone_gateway.directory / "rights" / "mine").mkdir(
                parents=True, exist_ok=True
            )
            yield standalone_gateway, stack.enter_context(client)
            return
        key = open_key if request.param == "key" else kernels_key(gateway, mine)
        yield gateway, stack.enter_context(http(gateway, key))


def begun_in_a_terminal(gateway, model):
    session = str(uuid.uuid4())
    words = ("--session-id", session, "from the terminal")
    ended = in_terminal(gateway, model, "rights/mine", *words)
    assert ended.returncode == 0, ended.stderr
    return session


@pytest.mark.soak
def test_terminals_transcript_is_deleted_and_renamed_by_the_server_alone(weak, model):
    gateway, client = weak
    with http(gateway) as owner:
        make_project(owner, "rights/mine")
        session = begun_in_a_terminal(gateway, model)
        url = f"sessions/{session}"
        refused = [
            client.delete(url),
            client.patch(url, json={"title": "mine"}),
            client.post(f"{url}/interrupt", json={}),
        ]
        assert [error_of(response) for response in refused] == [
            (403, "jupyter_identity_required")
        ] * 3
        # What it may: see it, go on with it, and copy it.
        listed = client.get("sessions", params={"project": "rights/mine"}).json()
        assert session in [entry["id"] for entry in listed["data"]]
        assert words(chat(client, "go on", session_id=session)).endswith("go on")
        assert client.post(f"{url}/fork", json={}).status_code == 200
        transcripts = list((gateway.directory / "home").rglob(f"{session}.jsonl"))
        assert len(transcripts) == 1
        assert owner.delete(url).status_code == 200
        assert not transcripts[0].exists()


@pytest.mark.soak
def test_projects_are_changed_and_deleted_by_the_server_alone(weak):
    gateway, client = weak
    with http(gateway) as owner:
        before = make_project(owner, "rights/mine")
        url = f"projects/{before['id']}"
        for response in (
            client.patch(url, json={"name": "x"}),
            client.patch(url, json={"description": "x"}),
            client.patch(url, json={"path": "."}),
            client.patch(url, json={"trusted": True}),
            client.patch(url, json={"trusted": False}),
            client.delete(url),
            client.delete(url, params={"files": "true", "confirm": before["id"]}),
        ):
            assert error_of(response) == (403, "jupyter_identity_required")
        after = owner.get(url).json()
        kept = ("name", "description", "path", "trusted")
        assert [after[name] for name in kept] == [before[name] for name in kept]


def test_only_the_server_makes_directories(gateway, weak):
    gateway, client = weak
    response = client.post("projects", json={"path": "rights/mine/new"})
    assert response.status_code == 403
    assert not (gateway.directory / "rights" / "mine" / "new").exists()
    made = client.post("projects", json={"path": "rights/mine"})
    assert made.json()["path"] == "rights/mine"


def test_kernel_works_in_its_notebooks_directory_alone(gateway, kernel, owner, model):
    other = make_project(owner, "rights/other")
    foreign = owner.post("sessions", json={"project_id": other["id"]}).json()["id"]
    first = chat(kernel, "one", f"projects/rights/mine/{CHAT}")
    session = first.headers["x-claude-session"]
    assert words(chat(kernel, "two", session_id=session)) == "two"
    assert kernel.post(f"sessions/{session}/fork").status_code == 200
    listed = kernel.get("sessions", params={"limit": 100}).json()["data"]
    assert session in [entry["id"] for entry in listed]
    assert foreign not in [entry["id"] for entry in listed]
    assert [p["path"] for p in kernel.get("projects").json()["data"]] == ["rights/mine"]
    assert error_of(kernel.delete(f"sessions/{session}"))[0] == 403
    assert error_of(chat(kernel, project_id="rights/other"))[0] == 403
    assert error_of(chat(kernel, session_id=foreign))[0] == 404


@pytest.mark.soak
def test_kernel_of_no_notebook_chats_and_opens_no_project(gateway, mine, model):
    with http(gateway, kernels_key(gateway)) as client:
        assert words(chat(client)) == "hello"
        own = client.post("sessions", json={}).json()["id"]
        assert words(chat(client, "mine", session_id=own)) == "mine"
        for response in (
            chat(client, project_id="rights/mine"),
            client.get("projects/rights/mine"),
            client.get("sessions", params={"project": "rights/mine"}),
        ):
            assert error_of(response) == (403, "key_out_of_scope")
        assert client.get("projects").json()["data"] == []
        ids = [entry["id"] for entry in client.get("sessions").json()["data"]]
        assert ids == [own]


@pytest.mark.parametrize("made_up", ["ended", "forged"])
def test_key_of_a_kernel_that_is_none_is_refused(gateway, mine, made_up):
    key = kernels_key(gateway, str(uuid.uuid4()))
    if made_up == "forged":
        key = kernels_key(gateway, mine)[:-64] + "0" * 64
    with http(gateway, key) as client:
        assert error_of(client.get("models")) == (401, "invalid_api_key")


def test_who_is_for_one_directory_learns_of_no_other(gateway, bound, owner, model):
    other = make_project(owner, "rights/other")
    (gateway.directory / "rights" / "link").unlink(missing_ok=True)
    (gateway.directory / "rights" / "link").symlink_to("other")
    told = set()
    for there in (
        "rights/other",
        "rights/missing",
        "rights/link",
        "rights/link/x",
        "rights/mine/below",
        ".",
        other["id"],
        "proj_" + "0" * 24,
    ):
        for response in (
            chat(bound, project_id=there),
            chat(bound, path=f"projects/{there}/{CHAT}") if there != "." else None,
            bound.get(f"projects/{there}/models") if there != "." else None,
            bound.get(f"projects/{there}") if there != "." else None,
            bound.get("sessions", params={"project": there}),
            bound.post("sessions", json={"project_id": there}),
            bound.post("projects", json={"path": there}),
        ):
            if response is not None:
                told.add((response.status_code, response.json()["error"]["message"]))
    assert len(told) == 1, told
    assert {status for status, _ in told} == {403}
    assert not (gateway.directory / "rights" / "missing").exists()


def test_sessions_one_may_not_see_are_as_if_they_were_not(bound, owner, model):
    other = make_project(owner, "rights/other")
    hidden = owner.post("sessions", json={"project_id": other["id"]}).json()["id"]
    alone = owner.post("sessions", json={}).json()["id"]
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/fork"),
        ("POST", "/interrupt"),
    ):
        told = set()
        for session in (hidden, alone, str(uuid.uuid4())):
            body = {"title": "x"} if method == "PATCH" else None
            response = bound.request(method, f"sessions/{session}{path}", json=body)
            text = response.json()["error"]["message"].replace(session, "")
            told.add((response.status_code, text))
        assert len(told) == 1, told
        assert {status for status, _ in told} == {404}


def test_tools_that_run_programs_are_the_servers_and_the_notebooks(
    gateway, kernel, open_key, model
):
    path = f"projects/rights/mine/{CHAT}"
    words(chat(kernel, path=path))
    assert "Bash" in {tool["name"] for tool in model.requests[-1].body["tools"]}
    with http(gateway, open_key) as client:
        words(chat(client, path=path))
    assert "Bash" not in {tool["name"] for tool in model.requests[-1].body["tools"]}


def test_alone_the_servers_token_is_more_than_no_key(standalone_gateway):
    with http(standalone_gateway) as owner:
        project = make_project(owner, "rights/by-token")
        changed = owner.patch(f"projects/{project['id']}", json={"name": "new"})
        assert changed.json()["name"] == "new"


def caller_of(identity, principal="me"):
    keys = {
        Identity.KEY: KeyRecord("k", "k", ""),
        Identity.PROJECT_KEY: KeyRecord("k", "k", "", project_id="proj_own"),
    }
    directory = "/root/own" if identity is Identity.KERNEL else None
    return Caller(principal, identity, keys.get(identity), directory)


OWN = Project("proj_own", "/root/own", "own")
OTHER = Project("proj_other", "/root/other", "other")


@pytest.mark.parametrize("identity", Identity)
@pytest.mark.parametrize(("resource", "action"), RIGHTS)
def test_caller_may_what_the_table_says(identity, resource, action):
    caller = caller_of(identity)
    reach = RIGHTS[resource, action][identity]
    bound = identity in (Identity.KERNEL, Identity.PROJECT_KEY)
    if resource in (Resource.CHAT, Resource.LONE_SESSION):
        places = [(None, True)]
    else:
        places = [(OWN, True), (OTHER, not bound)]
    for project, within in places:
        expected = {
            Reach.NONE: {"me": False, "another": False},
            Reach.OWN: {"me": within, "another": False},
            Reach.DIRECTORY: {"me": within, "another": within},
            Reach.ALL: {"me": True, "another": True},
        }[reach]
        for owner, allowed in expected.items():
            assert caller.may(resource, action, project, owner) is allowed


@pytest.mark.parametrize("identity", BELOW_THE_SERVER)
def test_nobody_but_the_server_changes_projects_or_what_a_terminal_began(identity):
    caller = caller_of(identity)
    for action in (
        Action.CHANGE,
        Action.TRUST,
        Action.DELETE,
        Action.MAKE_DIRECTORY,
    ):
        assert not caller.may(Resource.PROJECT, action, OWN, "me")
    for action in (Action.DELETE, Action.RENAME, Action.INTERRUPT):
        assert not caller.may(Resource.PROJECT_SESSION, action, OWN, "terminal")
