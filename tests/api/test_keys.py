from __future__ import annotations

import json
import threading

import httpx2
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.testing.server import STANDALONE, running_gateway

from ..conftest import client_of
from .resources import (
    CHAT,
    chat,
    command,
    error_of,
    http,
    make_key,
    make_project,
    words,
)

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def server(model_server, tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    options = (
        "--Projects.permission_mode=acceptEdits",
        "--Projects.allowed_tools=Bash",
    )
    with running_gateway(directory, model_server.url, *options) as gateway:
        with http(gateway) as client:
            for path in ("a", "b"):
                make_project(client, path)
        yield gateway


@pytest.fixture
def owner(server, model):
    with http(server) as client:
        yield client


@pytest.fixture(scope="module")
def key_of_a(server, model_server):
    return make_key(server, model_server, "for-a", "--project", "a")


@pytest.fixture(scope="module")
def open_key(server, model_server):
    return make_key(server, model_server, "for-all")


@pytest.fixture
def only_a(server, key_of_a, model):
    with http(server, key_of_a) as client:
        yield client


@pytest.fixture
def keyed(server, open_key, model):
    with http(server, open_key) as client:
        yield client


def test_key_opens_the_api(server, open_key, model):
    with client_of(server, api_key=open_key) as client:
        question = {"role": "user", "content": "hi"}
        answer = client.chat.completions.create(model="sonnet", messages=[question])
        assert answer.choices[0].message.content == "hi"
        assert client.models.list().data


def test_key_of_a_project_opens_that_one(only_a, owner):
    assert words(chat(only_a, path=f"projects/a/{CHAT}")) == "hello"
    told = only_a.get("projects").json()["data"]
    assert [project["path"] for project in told] == ["a"]
    assert only_a.get("projects/a/models").status_code == 200


def test_key_of_a_project_opens_nothing_else(server, only_a, owner, key_of_a):
    session = owner.post("sessions", json={"project_id": "b"}).json()["id"]
    alone = owner.post("sessions", json={}).json()["id"]
    root = server.base_url.removesuffix("/v1")
    headers = {"Authorization": f"Bearer {key_of_a}"}
    for response in (
        chat(only_a, path=f"projects/b/{CHAT}"),
        chat(only_a, project_id="b"),
        chat(only_a),
        only_a.get("projects/b"),
        only_a.get("projects/b/models"),
        only_a.post("projects", json={"path": "c"}),
        only_a.get("sessions", params={"project": "b"}),
        only_a.post("sessions", json={"project_id": "b"}),
        only_a.post("sessions", json={}),
        httpx2.get(f"{root}/api/contents", headers=headers),
        httpx2.get(f"{root}/api/kernels", headers=headers),
        httpx2.post(f"{root}/api/kernels", headers=headers, json={}),
        httpx2.get(f"{root}/api/terminals", headers=headers),
        httpx2.get(f"{root}/files/a/x", headers=headers),
        httpx2.get(f"{root}/metrics", headers=headers),
    ):
        assert error_of(response)[0] == 403, response.request.url
    for response in (
        only_a.get(f"sessions/{session}"),
        only_a.get(f"sessions/{alone}"),
        only_a.delete(f"sessions/{session}"),
        only_a.post(f"sessions/{session}/fork"),
        chat(only_a, session_id=session),
    ):
        assert error_of(response) == (404, "session_not_found")
    assert not (server.directory / "c").exists()
    listed = only_a.get("sessions").json()["data"]
    assert session not in [s["id"] for s in listed]


def test_query_with_a_key_opens_nothing_of_the_server(server, key_of_a):
    root = server.base_url.removesuffix("/v1")
    response = httpx2.get(f"{root}/api/contents", params={"token": key_of_a})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "body", [{"trusted": True}, {"name": "x"}, {"path": "b"}, {"trusted": False}]
)
def test_keys_change_no_project_and_grant_no_trust(keyed, only_a, body):
    for client in (keyed, only_a):
        assert error_of(client.patch("projects/a", json=body))[0] == 403
        assert error_of(client.delete("projects/a"))[0] == 403


def test_sessions_without_a_project_are_their_owners(keyed, owner):
    session = owner.post("sessions", json={}).json()["id"]
    own = keyed.post("sessions", json={}).json()["id"]
    missing = (404, "session_not_found")
    assert error_of(keyed.get(f"sessions/{session}")) == missing
    assert error_of(chat(keyed, session_id=session)) == missing
    assert words(chat(keyed, session_id=own)) == "hello"
    assert error_of(owner.get(f"sessions/{own}")) == missing


def tools_of(request):
    return {tool["name"] for tool in request.body["tools"]}


def test_key_runs_no_bash_unless_made_so(server, model_server, model, only_a):
    words(chat(only_a, path=f"projects/a/{CHAT}"))
    assert tools_of(model.requests[0]) >= {"Read", "Edit"}
    assert "Bash" not in tools_of(model.requests[0])
    run = {"command": "touch ran", "description": "run"}
    bash = ToolUse("Bash", [json.dumps(run)])
    model.script(Reply(tool_uses=[bash]), Reply(["no"]))
    assert words(chat(only_a, "run", path=f"projects/a/{CHAT}")) == "no"
    assert not (server.directory / "a" / "ran").exists()
    shell = make_key(server, model_server, "shell", "--tools", "Bash,Read")
    model.script(Reply(tool_uses=[bash]), Reply(["yes"]))
    with http(server, shell) as client:
        assert words(chat(client, "run", path=f"projects/a/{CHAT}")) == "yes"
    assert (server.directory / "a" / "ran").exists()


def test_key_continues_no_process_of_another(owner, only_a, model):
    path = f"projects/a/{CHAT}"
    first = chat(owner, "mine", path)
    history = [
        {"role": "user", "content": "mine"},
        {"role": "assistant", "content": words(first)},
        {"role": "user", "content": "theirs"},
    ]
    second = chat(only_a, path=path, messages=history)
    assert second.headers["x-claude-session"] != first.headers["x-claude-session"]


def test_use_is_counted_by_key(server, model_server, owner, model):
    key = make_key(server, model_server, "counted")
    with http(server, key) as client:
        words(chat(client))
        words(chat(client, path=f"projects/a/{CHAT}"))
    owner.get("sessions")  # what has ended is written down before that is answered
    listed = json.loads(command(server, model_server, "key", "list", "--json").stdout)
    (entry,) = [entry for entry in listed if entry["name"] == "counted"]
    assert entry["totals"]["turns"] == 2
    assert entry["totals"]["cost_usd"] > 0
    assert entry["last_used_at"] is not None


def test_revoked_key_is_refused(server, model_server, model):
    key = make_key(server, model_server, "brief")
    command(server, model_server, "key", "revoke", "brief")
    with http(server, key) as client:
        refused = client.get("models")
    assert error_of(refused) == (401, "invalid_api_key")
    assert "revoked" in refused.text


def test_key_that_expires_while_it_is_used_is_refused(server, model_server, model):
    key = make_key(server, model_server, "short", "--expires", "1s")
    with http(server, key) as client:
        for _ in range(100):
            response = client.get("models")
            if response.status_code == 401:
                break
            threading.Event().wait(0.05)
    assert error_of(response) == (401, "invalid_api_key")
    assert "expired" in response.text


@pytest.mark.parametrize(
    "key", ["cnbg_", "cnbg_x", "cnbg_" + "0" * 12 + "_" + "x" * 43]
)
def test_made_up_keys_are_refused(server, key):
    with http(server, key) as client:
        assert error_of(client.get("models")) == (401, "invalid_api_key")


def test_key_is_not_in_the_log_nor_in_the_database(server, open_key, keyed):
    keyed.get("models")
    assert open_key not in "".join(server.log)
    for path in (server.directory / "data" / "claude_nb_gateway").glob("gateway.db*"):
        assert open_key.rpartition("_")[2].encode() not in path.read_bytes()


def test_alone_without_a_key_projects_have_no_bash(standalone_gateway, model):
    with httpx2.Client(base_url=standalone_gateway.base_url, timeout=60) as client:
        (standalone_gateway.directory / "local").mkdir(exist_ok=True)
        make_project(client, "local")
        words(chat(client, path=f"projects/local/{CHAT}"))
        assert "Bash" not in tools_of(model.requests[0])
        response = client.patch("projects/local", json={"trusted": True})
        assert error_of(response) == (403, "jupyter_identity_required")


def test_alone_keys_open_it_too(model_server, model, tmp_path):
    option = "--require-auth"
    with running_gateway(
        tmp_path, model_server.url, option, command=STANDALONE
    ) as gateway:
        key = make_key(gateway, model_server, "alone")
        with http(gateway, key) as client:
            assert words(chat(client)) == "hello"
