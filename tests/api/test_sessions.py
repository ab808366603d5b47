from __future__ import annotations

import itertools
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of
from .resources import CHAT, chat, error_of, http, in_terminal, make_project, words

_numbers = itertools.count()


@pytest.fixture
def client(gateway):
    with http(gateway) as client:
        yield client


@pytest.fixture
def project(client):
    return make_project(client, f"sessions/p{next(_numbers)}")


@pytest.fixture
def session(client):
    return make_session(client)


def make_session(client, **body):
    response = client.post("sessions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def said(request):
    return [text for _, text in request.turns]


def test_session_is_made_before_its_first_turn(client, project):
    made = make_session(
        client, project_id=project["path"], title="Plan", model="haiku", system="Short."
    )
    assert made["object"] == "session"
    assert str(uuid.UUID(made["id"])) == made["id"]
    assert made["project_id"] == project["id"]
    assert (made["title"], made["model"], made["system"]) == ("Plan", "haiku", "Short.")
    assert client.get(f"sessions/{made['id']}").json() == {**made, "messages": []}


def test_session_goes_on_with_only_the_new_message(client, model):
    session = make_session(client, model="haiku", system="Be a poet.")
    assert session["resume_command"] == f"claude --resume {session['id']}"
    for text in ("one", "two"):
        answer = chat(client, text, model=None, session_id=session["id"])
        assert words(answer) == text
        assert answer.headers["x-claude-session"] == session["id"]
    assert said(model.requests[1]) == ["one", "one", "two"]
    assert all("haiku" in request.body["model"] for request in model.requests)
    assert model.requests[1].system.endswith("Be a poet.")
    assert {request.session for request in model.requests} == {session["id"]}


def test_whole_history_of_a_client_is_not_said_twice(client, model, session):
    words(chat(client, "one", session_id=session["id"]))
    history = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
    ]
    words(chat(client, messages=history, session_id=session["id"]))
    assert said(model.requests[1]) == ["one", "one", "two"]


@pytest.mark.soak
def test_openai_client_names_a_session(gateway, model, session):
    with client_of(gateway) as client:
        for text in ("one", "two"):
            client.chat.completions.create(
                model="sonnet",
                messages=[{"role": "user", "content": text}],
                extra_body={"session_id": session["id"]},
            )
    assert said(model.requests[1]) == ["one", "one", "two"]


@pytest.mark.soak
def test_header_names_a_session_for_other_apis(client, model, session):
    headers = {"X-Claude-Session": session["id"]}
    for text in ("one", "two"):
        body = {"model": "sonnet", "input": text}
        response = client.post("responses", json=body, headers=headers)
        assert response.status_code == 200, response.text
    assert said(model.requests[1]) == ["one", "one", "two"]


def test_messages_are_read_from_the_transcript(client, session):
    words(chat(client, "what?", session_id=session["id"]))
    told = client.get(f"sessions/{session['id']}").json()
    assert [(m["role"], m["content"]) for m in told["messages"]] == [
        ("user", "what?"),
        ("assistant", "what?"),
    ]
    assert told["usage"]["turns"] == 1
    assert told["usage"]["output_tokens"] > 0


def test_sessions_are_listed_by_project_and_page(client, project):
    ids = [make_session(client, project_id=project["id"])["id"] for _ in range(3)]
    make_session(client)
    params = {"project": project["path"], "limit": 2}
    page = client.get("sessions", params=params).json()
    assert [s["id"] for s in page["data"]] == [ids[2], ids[1]]
    assert page["has_more"] is True
    rest = client.get("sessions", params={**params, "after": page["last_id"]}).json()
    assert [s["id"] for s in rest["data"]] == [ids[0]]
    assert rest["has_more"] is False
    everything = client.get("sessions", params={"limit": 100}).json()["data"]
    assert set(ids) < {s["id"] for s in everything}


def test_title_can_be_changed(client, session):
    url = f"sessions/{session['id']}"
    words(chat(client, session_id=session["id"]))
    assert client.patch(url, json={"title": "Better"}).json()["title"] == "Better"
    assert client.get(url).json()["title"] == "Better"
    assert error_of(client.patch(url, json={}))[0] == 400
    assert error_of(client.patch(url, json={"title": "x" * 501}))[0] == 400
    # What was appended for it is no message of another's.
    assert words(chat(client, "go on", session_id=session["id"])) == "go on"


def test_deleted_session_is_gone_with_its_transcript(gateway, client, session):
    words(chat(client, session_id=session["id"]))
    home = gateway.directory / "home"
    assert list(home.glob(f"projects/*/{session['id']}.jsonl"))
    assert client.delete(f"sessions/{session['id']}").json()["deleted"] is True
    assert not list(home.glob(f"projects/*/{session['id']}.jsonl"))
    for response in (
        client.get(f"sessions/{session['id']}"),
        chat(client, session_id=session["id"]),
    ):
        assert error_of(response) == (404, "session_not_found")


@pytest.mark.parametrize("name", ["x", str(uuid.UUID(int=7)), "..", "A" * 36])
def test_unknown_session_is_not_found(client, name):
    assert error_of(chat(client, session_id=name)) == (404, "session_not_found")


def test_fork_begins_with_the_conversation_and_leaves_it(client, model, session):
    words(chat(client, "one", session_id=session["id"]))
    fork = client.post(f"sessions/{session['id']}/fork", json={"title": "B"}).json()
    assert (fork["title"], fork["id"] != session["id"]) == ("B", True)
    words(chat(client, "two", session_id=fork["id"]))
    assert said(model.requests[1]) == ["one", "one", "two"]
    words(chat(client, "three", session_id=session["id"]))
    assert said(model.requests[2]) == ["one", "one", "three"]


def test_fork_of_a_session_without_turns(client, session):
    fork = client.post(f"sessions/{session['id']}/fork").json()
    assert words(chat(client, session_id=fork["id"])) == "hello"


def test_conversation_goes_on_in_a_terminal_and_back(gateway, client, model, project):
    path = f"projects/{project['path']}/{CHAT}"
    session = chat(client, "by HTTP", path).headers["x-claude-session"]
    # Its process is still alive; the newest session of the directory is this one.
    ended = in_terminal(
        gateway, model, project["path"], "--continue", "in the terminal"
    )
    assert ended.stdout.strip() == "in the terminal", ended.stderr
    ended = in_terminal(gateway, model, project["path"], "--resume", session, "again")
    assert ended.stdout.strip() == "again", ended.stderr
    assert words(chat(client, "back", session_id=session)) == "back"
    turns = [text for role, text in model.requests[-1].turns if role == "user"]
    assert turns == ["by HTTP", "in the terminal", "again", "back"]
    # And from now on on its process, for nothing more was said elsewhere.
    assert words(chat(client, "still", session_id=session)) == "still"
    listed = client.get("sessions", params={"project": project["id"]}).json()["data"]
    assert [s["id"] for s in listed] == [session]


@pytest.mark.soak
def test_client_with_its_whole_history_loses_nothing_of_a_terminal(
    gateway, client, model, project
):
    path = f"projects/{project['path']}/{CHAT}"
    session = chat(client, "one", path).headers["x-claude-session"]
    in_terminal(gateway, model, project["path"], "--resume", session, "in between")
    history = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
    ]
    answer = chat(client, path=path, messages=history)
    assert words(answer) == "two"
    assert answer.headers["x-claude-session"] == session
    turns = [text for role, text in model.requests[-1].turns if role == "user"]
    assert turns == ["one", "in between", "two"]


def test_sessions_come_back_with_their_project(client, project):
    session = chat(client, path=f"projects/{project['path']}/{CHAT}").headers[
        "x-claude-session"
    ]
    client.delete(f"projects/{project['id']}")
    assert error_of(client.get(f"sessions/{session}"))[0] == 404
    make_project(client, project["path"])
    assert words(chat(client, "go on", session_id=session)) == "go on"


@pytest.mark.soak
def test_session_of_a_terminal_appears_and_goes_on(gateway, client, model, project):
    ended = in_terminal(gateway, model, project["path"], "begun in the terminal")
    assert ended.returncode == 0, ended.stderr
    (found,) = client.get("sessions", params={"project": project["id"]}).json()["data"]
    assert found["title"] == "begun in the terminal"
    assert words(chat(client, "by HTTP", session_id=found["id"])) == "by HTTP"
    assert said(model.requests[-1])[0] == "begun in the terminal"


@pytest.mark.soak
def test_session_of_a_terminal_is_found_by_its_id_alone(
    gateway, client, model, project
):
    session = str(uuid.uuid4())
    in_terminal(gateway, model, project["path"], "--session-id", session, "hello")
    assert words(chat(client, "by HTTP", session_id=session)) == "by HTTP"


def test_two_requests_at_once_take_turns(client, model, session):
    words(chat(client, "zero", session_id=session["id"]))
    model.responder = lambda request: Reply(["answer"], first_delay_seconds=0.3)
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(chat, client, text, session_id=session["id"])
            for text in ("one", "two", "three")
        ]
        assert [words(future.result()) for future in asked] == ["answer"] * 3
    turns = said(model.requests[-1])
    assert turns[2::2]
    assert set(turns[2::2]) == {"one", "two", "three"}
    assert len(turns) == 7


@pytest.mark.soak
def test_session_that_is_busy_can_refuse(model_server, model, tmp_path):
    option = "--CLIManager.session_wait_seconds=0"
    with (
        running_gateway(tmp_path, model_server.url, option) as gateway,
        http(gateway) as client,
        client_of(gateway) as streaming,
    ):
        session = make_session(client)["id"]
        model.script(Reply(["a "], hang="after"))
        stream = streaming.chat.completions.create(
            model="sonnet",
            messages=[{"role": "user", "content": "slow"}],
            stream=True,
            extra_body={"session_id": session},
        )
        next(stream)
        assert error_of(chat(client, session_id=session)) == (409, "session_busy")
        assert error_of(client.delete(f"sessions/{session}")) == (409, "session_busy")
        stream.close()


def test_interrupt_ends_the_answer_where_it_is(gateway, client, model, session):
    model.script(Reply(["half "], hang="after"))
    with client_of(gateway) as streaming:
        stream = streaming.chat.completions.create(
            model="sonnet",
            messages=[{"role": "user", "content": "slow"}],
            stream=True,
            extra_body={"session_id": session["id"]},
        )
        chunks = []
        for chunk in stream:
            chunks.append(chunk)
            if chunk.choices[0].delta.content:
                stopped = client.post(f"sessions/{session['id']}/interrupt").json()
                assert stopped["interrupted"] is True
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "half "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert model.requests[0].abandoned.wait(5)
    assert words(chat(client, "go on", session_id=session["id"])) == "go on"
    assert said(model.requests[-1])[:2] == ["slow", "half "]


def test_nothing_to_interrupt_is_said(client, session):
    stopped = client.post(f"sessions/{session['id']}/interrupt").json()
    assert stopped["interrupted"] is False


@pytest.mark.soak
def test_client_that_goes_leaves_a_session_that_goes_on(
    gateway, client, model, session
):
    model.script(Reply(["half "], hang="after"))
    with client_of(gateway) as streaming:
        stream = streaming.chat.completions.create(
            model="sonnet",
            messages=[{"role": "user", "content": "never mind"}],
            stream=True,
            extra_body={"session_id": session["id"]},
        )
        next(stream)
        next(stream)
        stream.close()
    assert words(chat(client, "go on", session_id=session["id"])) == "go on"
    assert said(model.requests[-1])[0] == "never mind"


@pytest.mark.soak
def test_functions_are_called_within_a_session(client, model, session):
    tools = [{"type": "function", "function": {"name": "f"}}]
    call = ToolUse("mcp__client__f", ["{}"], id="toolu_1")
    model.script(Reply(tool_uses=[call]), Reply(["seen"]))
    first = chat(client, "use f", tools=tools, session_id=session["id"])
    made = first.json()["choices"][0]["message"]
    assert made["tool_calls"][0]["id"] == "toolu_1"
    result = {"role": "tool", "tool_call_id": "toolu_1", "content": "a value"}
    messages = [{"role": "user", "content": "use f"}, made, result]
    second = chat(client, messages=messages, tools=tools, session_id=session["id"])
    assert words(second) == "seen"
    assert "a value" in json.dumps(model.requests[1].body)
    late = chat(client, messages=messages, tools=tools, session_id=session["id"])
    assert error_of(late) == (400, "results_not_awaited")
    third = chat(client, "and now?", tools=tools, session_id=session["id"])
    assert words(third) == "and now?"


@pytest.mark.soak
def test_question_in_the_place_of_results_goes_on_too(client, model, session):
    tools = [{"type": "function", "function": {"name": "f"}}]
    model.script(Reply(tool_uses=[ToolUse("mcp__client__f", ["{}"])]))
    chat(client, "use f", tools=tools, session_id=session["id"])
    assert words(chat(client, "forget it", session_id=session["id"])) == "forget it"


@pytest.mark.soak
def test_system_prompt_of_a_request_goes_before_that_of_the_session(client, model):
    session = make_session(client, system="Be a poet.")
    words(chat(client, "one", session_id=session["id"]))
    messages = [
        {"role": "system", "content": "Be a lawyer."},
        {"role": "user", "content": "two"},
    ]
    words(chat(client, messages=messages, session_id=session["id"]))
    assert model.requests[1].system.endswith("Be a lawyer.")
    assert said(model.requests[1]) == ["one", "one", "two"]


def test_words_of_the_gateway_are_no_prompt_of_a_session(client, model):
    session = make_session(client, system="Be a poet.")
    tools = [{"type": "function", "function": {"name": "f"}}]
    options = {"tools": tools, "tool_choice": "none"}
    words(chat(client, "one", session_id=session["id"], **options))
    assert "Be a poet." in model.requests[0].system
    told = client.get(f"sessions/{session['id']}").json()
    assert told["system"] == "Be a poet."


def test_lost_transcript_is_told(gateway, client, session):
    words(chat(client, session_id=session["id"]))
    client.post(f"sessions/{session['id']}/interrupt")  # its process ends
    (path,) = (gateway.directory / "home").glob(f"projects/*/{session['id']}.jsonl")
    path.unlink()
    response = chat(client, session_id=session["id"])
    assert error_of(response) == (400, "session_transcript_missing")


def test_session_of_another_project_is_refused(client, project):
    session = make_session(client, project_id=project["id"])
    other = make_project(client, f"sessions/other{next(_numbers)}")
    response = chat(
        client, path=f"projects/{other['path']}/{CHAT}", session_id=session["id"]
    )
    assert response.json()["error"]["param"] == "session_id"
    assert response.status_code == 400


@pytest.mark.soak
def test_sessions_survive_the_server(model_server, model, tmp_path):
    with (
        running_gateway(tmp_path, model_server.url) as gateway,
        http(gateway) as client,
    ):
        alone = make_session(client)["id"]
        words(chat(client, "one", session_id=alone))
        make_project(client, "work")
        path = f"projects/work/{CHAT}"
        working = chat(client, "uno", path).headers["x-claude-session"]
    with (
        running_gateway(tmp_path, model_server.url) as gateway,
        http(gateway) as client,
    ):
        listed = client.get("sessions").json()["data"]
        assert {s["id"] for s in listed} == {alone, working}
        assert all(s["usage"]["turns"] == 1 for s in listed)
        words(chat(client, "two", session_id=alone))
        assert said(model.requests[-1]) == ["one", "one", "two"]
        words(chat(client, "dos", session_id=working))
        assert said(model.requests[-1]) == ["uno", "uno", "dos"]


@pytest.fixture(params=["newer", "read-only", "corrupt"])
def troubled(request, model_server, tmp_path):
    """A gateway whose database is of no use."""
    path = tmp_path / "gateway.db"
    option = f"--Store.database_url=sqlite:///{path}"
    if request.param == "newer":
        with running_gateway(tmp_path, model_server.url, option):
            pass
        set_revision(path, "9999")
    elif request.param == "corrupt":
        path.write_bytes(b"no database" * 1000)
    else:
        option = "--Store.database_url=sqlite:////proc/gateway.db"
    with running_gateway(tmp_path, model_server.url, option) as gateway:
        yield gateway


def set_revision(path, revision):
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


@pytest.mark.soak
def test_chat_goes_on_without_the_database(troubled, model):
    with http(troubled) as client:
        assert words(chat(client)) == "hello"
        (troubled.directory / "work").mkdir()
        assert words(chat(client, path=f"projects/work/{CHAT}")) == "hello"
        for response in (
            client.get("sessions"),
            client.get("projects"),
            client.post("sessions", json={}),
            chat(client, session_id=str(uuid.uuid4())),
        ):
            assert error_of(response) == (503, "store_unavailable")
            assert str(troubled.directory) not in response.text
    assert "Traceback" not in "".join(troubled.log)


@pytest.mark.soak
def test_authorizer_that_allows_reading_alone(model_server, model, tmp_path):
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(READ_ONLY)
    with (
        running_gateway(tmp_path, model_server.url) as gateway,
        http(gateway) as client,
    ):
        assert client.get("sessions").status_code == 200
        assert client.get("projects").status_code == 200
        refused = client.post("sessions", json={})
        assert error_of(refused)[0] == 403
        assert error_of(client.post("projects", json={"path": "x"}))[0] == 403
    assert not os.path.exists(tmp_path / "x")


READ_ONLY = """
from jupyter_server.auth import Authorizer

class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "claude" or action == "read"

c.ServerApp.authorizer_class = ReadOnly
"""
