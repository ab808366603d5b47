from __future__ import annotations

import itertools
import json
import os
import shutil

import openai
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.testing.server import running_gateway

from .resources import CHAT, chat, error_of, http, make_project, runtime_file, words

_numbers = itertools.count()


@pytest.fixture
def client(gateway):
    with http(gateway) as client:
        yield client


@pytest.fixture
def path():
    """A path that no other test has."""
    return f"projects/p{next(_numbers)}"


@pytest.fixture
def project(client, path):
    return make_project(client, path)


def directory_of(gateway, project):
    return gateway.directory / project["path"]


def test_project_is_a_directory_below_the_root(gateway, client, path):
    body = {"path": path, "name": "Sales", "description": "of 2026"}
    made = client.post("projects", json=body).json()
    assert (gateway.directory / path).is_dir()
    assert made["object"] == "project"
    assert (made["name"], made["description"]) == ("Sales", "of 2026")
    assert (made["path"], made["trusted"], made["sessions"]) == (path, False, 0)
    assert client.get(f"projects/{made['id']}").json() == made
    assert client.get(f"projects/{path}").json() == made
    assert client.post("projects", json={"path": path}).json() == made


def test_projects_are_listed_in_pages(client):
    ids = [make_project(client, f"listed/{name}")["id"] for name in "abc"]
    page = client.get("projects", params={"limit": 2}).json()
    assert page["object"] == "list"
    assert page["has_more"] is True
    assert [p["id"] for p in page["data"]] == [ids[2], ids[1]]
    params = {"limit": 1, "after": page["last_id"]}
    following = client.get("projects", params=params).json()
    assert following["first_id"] == ids[0]


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": "x"}, {"limit": 1000}, {"order": "up"}]
)
def test_page_that_cannot_be_is_refused(client, params):
    response = client.get("projects", params=params)
    assert error_of(response) == (400, None)
    assert response.json()["error"]["param"] in params


def test_client_works_in_a_project_by_its_base_url(gateway, model, project):
    memory = directory_of(gateway, project) / "CLAUDE.md"
    memory.write_text("Say MEMORABLE.")
    base_url = f"{gateway.base_url}/projects/{project['path']}"
    with openai.OpenAI(base_url=base_url, api_key=gateway.key, timeout=60) as client:
        question = {"role": "user", "content": "where are you?"}
        system = {"role": "system", "content": "Be brief."}
        answer = client.chat.completions.create(
            model="sonnet", messages=[system, question]
        )
        assert answer.choices[0].message.content == "where are you?"
        assert client.models.list().data
    (request,) = model.requests
    body = json.dumps(request.body)
    assert "MEMORABLE" in body
    assert str(directory_of(gateway, project)) in body
    assert {"Read", "Edit", "Bash"} <= {tool["name"] for tool in request.body["tools"]}
    assert request.system.endswith("Be brief.")
    assert "You are" in request.system


@pytest.mark.soak
def test_header_and_field_name_the_project_too(client, model, project):
    in_header = client.post(
        CHAT,
        json={"model": "sonnet", "messages": [{"role": "user", "content": "a"}]},
        headers={"X-Claude-Project": project["path"]},
    )
    in_body = chat(client, "b", project_id=project["id"])
    assert (words(in_header), words(in_body)) == ("a", "b")
    assert all(request.body["tools"] for request in model.requests)
    told = client.get(f"projects/{project['id']}").json()
    assert told["usage"]["turns"] == 2
    assert told["usage"]["cost_usd"] > 0
    assert told["sessions"] == 2
    assert told["last_used"] >= told["created"]


def test_without_a_project_there_are_no_tools(client, model):
    words(chat(client))
    assert not model.requests[0].body.get("tools")


def test_two_different_projects_in_one_request_are_refused(client, project):
    response = chat(client, path=f"projects/{project['path']}/{CHAT}", project_id="x")
    assert error_of(response) == (400, None)


@pytest.mark.soak
@pytest.mark.parametrize("api", ["responses", "messages", "completions"])
def test_other_apis_work_in_projects(client, model, project, api):
    body = {
        "responses": {"input": "hi"},
        "messages": {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]},
        "completions": {"prompt": "hi"},
    }[api]
    base = f"projects/{project['path']}"
    # Anthropic's clients put a /v1 of their own behind the base URL.
    path = f"{base}/v1/messages" if api == "messages" else f"{base}/{api}"
    response = client.post(path, json={"model": "sonnet", **body})
    assert response.status_code == 200, response.text
    assert "hi" in response.text
    assert model.requests[0].body["tools"]


def test_continued_conversation_stays_on_its_process(client, model, project):
    path = f"projects/{project['path']}/{CHAT}"
    first = chat(client, "one", path)
    history = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": words(first)},
        {"role": "user", "content": "two"},
    ]
    second = chat(client, path=path, messages=history)
    assert words(second) == "two"
    session = first.headers["x-claude-session"]
    assert second.headers["x-claude-session"] == session
    assert [r.session for r in model.requests] == [session, session]


def test_words_between_uses_of_tools_are_paragraphs(gateway, client, model, project):
    (directory_of(gateway, project) / "data.txt").write_text("forty-two")
    file = str(directory_of(gateway, project) / "data.txt")
    read = ToolUse("Read", [json.dumps({"file_path": file})])
    model.script(Reply(["Let me look."], tool_uses=[read]), Reply(["It is 42."]))
    path = f"projects/{project['path']}/{CHAT}"
    first = chat(client, "what is it?", path)
    assert words(first) == "Let me look.\n\nIt is 42."
    assert first.json()["choices"][0]["finish_reason"] == "stop"
    assert "forty-two" in json.dumps(model.requests[1].body)
    # The session knows what it read when the conversation goes on.
    history = [
        {"role": "user", "content": "what is it?"},
        {"role": "assistant", "content": words(first)},
        {"role": "user", "content": "sure?"},
    ]
    assert words(chat(client, path=path, messages=history)) == "sure?"
    assert "forty-two" in json.dumps(model.requests[2].body)


def test_what_needs_leave_is_denied(gateway, client, model, project):
    target = directory_of(gateway, project) / "made"
    wish = {"command": f"touch {target}", "description": "make a file"}
    model.script(
        Reply(tool_uses=[ToolUse("Bash", [json.dumps(wish)])]), Reply(["I may not."])
    )
    answer = chat(client, path=f"projects/{project['path']}/{CHAT}")
    assert words(answer) == "I may not."
    assert not target.exists()


def test_client_functions_work_beside_the_tools(client, model, project):
    name = "mcp__client__lookup"
    model.script(Reply(tool_uses=[ToolUse(name, ['{"key": 1}'])]), Reply(["found"]))
    function = {"name": "lookup", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    path = f"projects/{project['path']}/{CHAT}"
    first = chat(client, path=path, tools=tools)
    (call,) = first.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "lookup", "arguments": '{"key": 1}'}
    history = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "a value"},
    ]
    assert words(chat(client, path=path, messages=history, tools=tools)) == "found"
    assert len({request.session for request in model.requests}) == 1


def test_missing_directory_is_not_found(client):
    response = chat(client, path=f"projects/no/such/{CHAT}")
    assert error_of(response) == (404, "project_not_found")
    assert "POST /v1/projects" in response.json()["error"]["message"]
    assert error_of(client.get("projects/no/such")) == (404, "project_not_found")
    assert error_of(client.get("projects/proj_0")) == (404, "project_not_found")


def test_directory_that_is_gone_is_told_plainly(gateway, client, project):
    directory = directory_of(gateway, project)
    directory.rename(directory.with_name("renamed-" + directory.name))
    for reference in (project["id"], project["path"]):
        response = chat(client, path=f"projects/{reference}/{CHAT}")
        assert error_of(response) == (404, "project_directory_missing")
        assert "renamed" in response.json()["error"]["message"]


@pytest.mark.soak
def test_renamed_directory_keeps_its_sessions(gateway, client, model, project):
    base = f"projects/{project['id']}"
    session = chat(client, "before", f"{base}/{CHAT}").headers["x-claude-session"]
    directory = directory_of(gateway, project)
    moved = directory.with_name(directory.name + "-moved")
    directory.rename(moved)
    client.patch(base, json={"trusted": True})
    path = str(moved.relative_to(gateway.directory))
    told = client.patch(base, json={"path": path}).json()
    assert told["path"] == path
    assert told["trusted"] is False  # trust was in the directory that it was
    assert words(chat(client, "after", session_id=session)) == "after"
    assert [text for _, text in model.requests[-1].turns] == [
        "before",
        "before",
        "after",
    ]


def test_project_can_be_changed(client, project):
    body = {"name": "new", "description": "better"}
    changed = client.patch(f"projects/{project['id']}", json=body).json()
    assert (changed["name"], changed["description"]) == ("new", "better")
    response = client.patch(f"projects/{project['id']}", json={"trusted": "yes"})
    assert error_of(response)[0] == 400


def test_deletion_forgets_the_project_alone(gateway, client, project):
    kept = directory_of(gateway, project) / "kept"
    kept.write_text("")
    gone = client.delete(f"projects/{project['id']}").json()
    assert gone["deleted"] is True
    assert kept.exists()
    assert error_of(client.get(f"projects/{project['id']}"))[0] == 404


def test_project_that_is_forgotten_during_a_turn_stays_forgotten(
    client, model, project
):
    url = f"projects/{project['id']}"
    client.patch(url, json={"trusted": True})
    model.script(Reply(["half "], hang="after"))
    path = f"projects/{project['path']}/{CHAT}"
    question = {"role": "user", "content": "slow"}
    body = {"model": "sonnet", "messages": [question], "stream": True}
    with client.stream("POST", path, json=body) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if "half" in line)
        assert client.delete(url).json()["deleted"] is True
    assert model.requests[0].abandoned.wait(5)
    client.get("projects")  # what has ended is written down before that is answered
    assert error_of(client.get(url))[0] == 404
    again = make_project(client, project["path"])
    assert (again["id"] != project["id"], again["trusted"]) == (True, False)


def test_files_are_removed_only_when_asked_twice(gateway, client, project):
    directory = directory_of(gateway, project)
    (directory / "file").write_text("")
    (directory / "link").symlink_to(gateway.directory)
    url = f"projects/{project['id']}"
    asked = client.delete(url, params={"files": "true"})
    assert error_of(asked) == (409, "confirmation_required")
    assert directory.exists()
    params = {"files": "true", "confirm": project["id"]}
    assert client.delete(url, params=params).json()["files_removed"] == 1
    assert not directory.exists()
    assert gateway.directory.exists()


def test_files_are_not_removed_under_a_running_turn(gateway, client, model, project):
    model.script(Reply(["half "], hang="after"))
    path = f"projects/{project['path']}/{CHAT}"
    question = {"role": "user", "content": "slow"}
    body = {"model": "sonnet", "messages": [question], "stream": True}
    url = f"projects/{project['id']}"
    with client.stream("POST", path, json=body) as stream:
        lines = stream.iter_lines()  # whose end would be that of the stream
        assert next(line for line in lines if "half" in line)
        params = {"files": "true", "confirm": project["id"]}
        refused = client.delete(url, params=params)
        assert error_of(refused) == (409, "project_busy")
        assert error_of(client.patch(url, json={"path": "."})) == (409, "project_busy")


def test_root_is_a_project_but_is_never_removed(gateway, client):
    root = make_project(client, ".")
    assert root["path"] == "."
    params = {"files": "true", "confirm": root["id"]}
    response = client.delete(f"projects/{root['id']}", params=params)
    assert error_of(response)[0] == 403
    assert gateway.directory.exists()
    client.delete(f"projects/{root['id']}")


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc",
        "a/../../x",
        "a\0b",
        ".ssh",
        "x" * 5000,
        "a/" + "y" * 300,
        "~root",
    ],
)
def test_paths_outside_are_refused_and_nothing_is_made(gateway, client, path):
    before = sorted(os.listdir(gateway.directory.parent))
    response = client.post("projects", json={"path": path})
    assert error_of(response) == (400, "invalid_path")
    assert sorted(os.listdir(gateway.directory.parent)) == before


def test_link_is_no_project(gateway, client, tmp_path):
    link = gateway.directory / "a-link"
    link.symlink_to(tmp_path)
    for response in (
        client.post("projects", json={"path": "a-link/inside"}),
        chat(client, path=f"projects/a-link/{CHAT}"),
    ):
        assert error_of(response) == (400, "invalid_path")
    assert list(tmp_path.iterdir()) == []
    link.unlink()


@pytest.fixture(scope="module")
def permissive(model_server, tmp_path_factory):
    """Edits and the command `make` need no leave; no spares, to see all processes."""
    options = (
        "--Projects.permission_mode=acceptEdits",
        "--Projects.allowed_tools=Bash",
        "--CLIManager.spare_processes=0",
    )
    directory = tmp_path_factory.mktemp("permissive")
    with running_gateway(directory, model_server.url, *options) as gateway:
        yield gateway


def tool_results(request):
    return [
        block
        for turn in request.messages
        if not isinstance(turn["content"], str)
        for block in turn["content"]
        if block["type"] == "tool_result"
    ]


@pytest.mark.soak
def test_configured_mode_and_rules_give_leave(permissive, model):
    with http(permissive) as client:
        make_project(client, "edits")
        target = permissive.directory / "edits" / "note.txt"
        write = {"file_path": str(target), "content": "written"}
        run = {"command": "echo run > ran.txt", "description": "run"}
        model.script(
            Reply(tool_uses=[ToolUse("Write", [json.dumps(write)], "toolu_1")]),
            Reply(tool_uses=[ToolUse("Bash", [json.dumps(run)], "toolu_2")]),
            Reply(["done"]),
        )
        assert words(chat(client, path=f"projects/edits/{CHAT}")) == "done"
    assert target.read_text() == "written"
    assert (target.parent / "ran.txt").read_text() == "run\n"


@pytest.mark.soak
def test_runtime_files_of_jupyter_cannot_be_read(permissive, model):
    runtime = runtime_file(permissive)
    secret = json.loads(runtime.read_text())["api_key"]
    read = ToolUse("Read", [json.dumps({"file_path": str(runtime)})])
    model.script(Reply(tool_uses=[read]), Reply(["no"]))
    with http(permissive) as client:
        # The root itself, so that they are below the directory of the project.
        assert words(chat(client, project_id=".")) == "no"
    (result,) = tool_results(model.requests[1])
    assert "denied" in json.dumps(result)
    assert secret not in json.dumps(model.requests[1].body)


@pytest.mark.soak
def test_directory_replaced_while_a_session_rests_gets_a_new_process(permissive, model):
    with http(permissive) as client:
        make_project(client, "replaced")
        path = f"projects/replaced/{CHAT}"
        first = chat(client, "one", path)
        shutil.move(permissive.directory / "replaced", permissive.directory / "old")
        (permissive.directory / "replaced").mkdir()
        history = [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": words(first)},
            {"role": "user", "content": "two"},
        ]
        second = chat(client, path=path, messages=history)
        assert words(second) == "two"
    assert second.headers["x-claude-session"] != first.headers["x-claude-session"]
