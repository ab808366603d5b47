from __future__ import annotations

import json
import uuid

import pytest

from claude_nb_gateway.claude_code.transcripts import TAIL_BYTES, Transcripts

SESSION = str(uuid.UUID(int=1))


@pytest.fixture
def transcripts(tmp_path):
    return Transcripts(tmp_path / "config")


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "work").mkdir()
    return str(tmp_path / "work")


def message(kind, text, parent=None, **more):
    return {
        "type": kind,
        "uuid": str(uuid.uuid4()),
        "parentUuid": parent and parent["uuid"],
        "sessionId": SESSION,
        "timestamp": "2026-11-24T12:00:00.000Z",
        "message": {"role": kind, "content": text},
        **more,
    }


@pytest.fixture
def write(transcripts, directory):
    def write(*entries, end="\n"):
        path = transcripts._files.path(directory, SESSION)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            placed = (json.dumps(entry | {"cwd": directory}) for entry in entries)
            file.write("\n".join(placed) + end)

    return write


@pytest.mark.soak
def test_without_a_transcript_there_is_no_tail(transcripts, directory):
    assert transcripts.tail(directory, SESSION) is None


def test_tail_is_the_last_message_whatever_comes_after(transcripts, directory, write):
    question = message("user", "q")
    answer = message("assistant", "a", question)
    aside = message("assistant", "aside", isSidechain=True)
    write(question, answer, aside, {"type": "last-prompt"})
    assert transcripts.tail(directory, SESSION) == answer["uuid"]


def test_tail_is_found_before_long_lines(transcripts, directory, write):
    answer = message("assistant", "a")
    write(answer, {"type": "note", "text": "x" * (3 * TAIL_BYTES)})
    assert transcripts.tail(directory, SESSION) == answer["uuid"]


def test_line_that_was_cut_does_not_count(transcripts, directory, write):
    answer = message("assistant", "a")
    write(answer)
    write({"type": "user", "uuid": "cut"}, end="")
    path = transcripts._files.path(directory, SESSION)
    path.write_bytes(path.read_bytes()[:-5])
    assert transcripts.tail(directory, SESSION) == answer["uuid"]


def test_conversation_is_read_forked_renamed_and_moved(
    transcripts, directory, write, tmp_path
):
    question = message("user", "what is it")
    write(question, message("assistant", [{"type": "text", "text": "it"}], question))
    told = transcripts.messages(directory, SESSION)
    assert [m["type"] for m in told] == ["user", "assistant"]
    assert transcripts.describe(directory, SESSION).title == "what is it"
    fork = transcripts.fork(directory, SESSION, "a copy")
    assert fork != SESSION
    assert len(transcripts.messages(directory, fork)) == 2
    transcripts.rename(directory, SESSION, "renamed")
    assert transcripts.describe(directory, SESSION).title == "renamed"
    elsewhere = str(tmp_path / "elsewhere")
    transcripts.move(directory, elsewhere)
    assert set(transcripts.recorded(elsewhere)) == {SESSION, fork}
    assert transcripts.recorded(directory) == {}
    transcripts.delete(elsewhere, SESSION)
    assert set(transcripts.recorded(elsewhere)) == {fork}


def test_only_what_changed_is_looked_at_again(transcripts, directory, write):
    write(message("user", "q"))
    changed = transcripts.changed(directory, {})
    seen = {session: at for session, (at, _) in changed.items()}
    assert set(seen) == {SESSION}
    assert transcripts.changed(directory, seen) == {}


def test_directories_that_share_a_folder_share_no_sessions(
    transcripts, directory, write, tmp_path
):
    (tmp_path / "wo").mkdir()
    other = str(tmp_path / "wo" / "rk")
    write(message("user", "q"))
    namesake = directory.replace("work", "wo-rk")
    path = transcripts._files.path(namesake, SESSION)
    assert path == transcripts._files.path(other, SESSION)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(message("user", "q", cwd=namesake)) + "\n")
    assert set(transcripts.changed(namesake, {})) == {SESSION}
    assert transcripts.changed(other, {}) == {}
    transcripts.move(other, directory)
    assert path.exists()


@pytest.mark.parametrize("name", ["../../x", "x", "", "A" * 36])
def test_other_names_than_ids_reach_no_file(transcripts, directory, name):
    with pytest.raises(ValueError, match="not a session id"):
        transcripts.tail(directory, name)
