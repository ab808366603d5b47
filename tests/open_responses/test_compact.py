"""Conversations made short, against the real CLI."""

from __future__ import annotations

import json

import openai
import pytest

from claude_nb_gateway.api.compactions import Compactions
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.errors import InvalidRequest

from ..api.resources import http, runtime_file
from ..conftest import client_of


@pytest.fixture
def compact(gateway):
    """The answer to what is to be made short; the model is sonnet."""

    def compact(**body):
        with http(gateway) as plain:
            return plain.post("responses/compact", json={"model": "sonnet"} | body)

    return compact


def test_model_is_told_the_whole_conversation(compact, model):
    call = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "in the attic"}
    said = [
        {"role": "user", "content": "Where is it?"},
        call,
        output,
        {"role": "assistant", "content": "In the attic."},
    ]
    assert compact(input=said, instructions="Be brief.").status_code == 200
    [request] = model.requests
    [(role, told)] = request.turns
    assert role == "user"
    for part in ("Be brief.", "Where is it?", "find {}", "in the attic", "In the"):
        assert part in told
    assert "summary" in request.system
    assert not any(tool["name"] == "Bash" for tool in request.body.get("tools", []))


def test_orders_stay_as_they_are(compact):
    said = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hello."},
    ]
    kept, item = compact(input=said).json()["output"]
    assert kept["role"] == "system"
    assert kept["content"] == [{"type": "input_text", "text": "You are a pirate."}]
    assert item["type"] == "compaction"
    assert "pirate" not in item["encrypted_content"]


@pytest.mark.soak
def test_stored_conversation_is_made_short_and_gone_on_with(compact, client, model):
    model.script(Reply(["one"]), Reply(["It was 1 and one."]), Reply(["two"]))
    first = client.responses.create(model="sonnet", input="1")
    output = compact(previous_response_id=first.id).json()["output"]
    assert "one" in model.requests[1].turns[0][1]
    question = {"role": "user", "content": "2"}
    second = client.responses.create(model="sonnet", input=[*output, question])
    assert "It was 1 and one." in model.requests[2].turns[0][1]
    # What goes on with that has the summary in its conversation too.
    client.responses.create(model="sonnet", input="3", previous_response_id=second.id)
    assert "It was 1 and one." in model.requests[3].turns[0][1]


@pytest.mark.soak
def test_what_was_made_short_is_made_short_again(compact, model):
    model.script(Reply(["the first summary"]))
    output = compact(input="hello").json()["output"]
    compact(input=[*output, {"role": "user", "content": "more"}])
    assert "the first summary" in model.requests[1].turns[0][1]


def test_of_another_or_changed_it_is_refused(compact, client, gateway):
    [item] = compact(input="hello").json()["output"]
    changed = {**item, "encrypted_content": item["encrypted_content"][:-8] + "AAAAAAA="}
    kernel = json.loads(runtime_file(gateway).read_text())["api_key"]
    with client_of(gateway, api_key=kernel) as other:
        for caller, given in ((client, changed), (other, item)):
            with pytest.raises(openai.BadRequestError) as error:
                caller.responses.create(model="sonnet", input=[given])
            assert error.value.param == "input[0].encrypted_content"
            assert error.value.code == "invalid_encrypted_content"


@pytest.mark.parametrize("endpoint", ["responses", "responses/compact"])
@pytest.mark.parametrize("content", ["\\u00e9", "\\ud800"])
def test_what_is_not_ascii_was_not_made_here(gateway, endpoint, content):
    item = f'{{"type": "compaction", "encrypted_content": "{content}"}}'
    with http(gateway) as plain:
        answer = plain.post(
            endpoint, content=f'{{"model": "sonnet", "input": [{item}]}}'
        )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_encrypted_content"


def test_half_a_summary_is_none(compact, model):
    model.script(Reply(["half"], stop_reason="max_tokens"))
    answer = compact(input="hello")
    assert answer.status_code == 502


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": [{"type": "mystery"}]}, "input[0].type"),
        ({"previous_response_id": "resp_x"}, "previous_response_id"),
        ({"input": "x", "model": None}, "model"),
        ({"input": "x", "temperature": 9}, "temperature"),
    ],
)
def test_what_cannot_be_made_short_names_its_field(compact, body, param):
    answer = compact(**body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def sealed_and_opened(path, *, by=None):
    first = Compactions(secret_file=str(path))
    content = await first.seal("ann", "the summary")
    second = by or Compactions(secret_file=str(path))
    item = {"type": "compaction", "encrypted_content": content}
    [opened] = await second.opened([item], "ann", "input[{}]")
    return opened["content"][0]["text"]


@pytest.mark.anyio
async def test_another_process_opens_it(tmp_path):
    path = tmp_path / "made" / "key"
    assert "the summary" in await sealed_and_opened(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


@pytest.mark.anyio
async def test_another_gateway_does_not(tmp_path):
    other = Compactions(secret_file=str(tmp_path / "other"))
    with pytest.raises(InvalidRequest):
        await sealed_and_opened(tmp_path / "key", by=other)


@pytest.mark.anyio
async def test_without_a_file_it_lives_as_long_as_its_gateway(tmp_path):
    path = tmp_path / "file"
    path.write_text("no key")
    gateway = Compactions(secret_file=str(path))
    content = await gateway.seal("ann", "the summary")
    item = {"type": "compaction", "encrypted_content": content}
    assert await gateway.opened([item], "ann", "input[{}]")
