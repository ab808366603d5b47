from __future__ import annotations

import msgspec
import pytest

from claude_nb_gateway.api.stored_responses import (
    MOST_REFERRED_BYTES,
    ResponseStore,
    StoredResponse,
)
from claude_nb_gateway.errors import InvalidRequest, ResponseNotFound
from claude_nb_gateway.wire.responses.types import Response

MIB = 2**20


def message(text, name="msg_1"):
    """An item of an answer."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "type": "message",
        "id": name,
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def made(store, number, previous=None, items=(), output=(), **fields):
    """A response that the store keeps, and that is made."""
    response = Response(id=f"resp_{number}", created_at=0, model="m", **fields)
    stored = StoredResponse("me", response, previous, list(items))
    store.add(stored, 10)
    whole = {**msgspec.to_builtins(response), "output": list(output)}
    response.output = msgspec.convert(whole, Response).output
    response.status = "completed"
    store.settle(stored)
    return stored


def test_response_that_is_kept_is_what_it_was():
    store = ResponseStore()
    stored = made(
        store, 1, items=[{"a": 1}], output=[message("x")], metadata={"b": "c"}
    )
    assert stored.response.metadata == {"b": "c"}
    assert stored.response.output[0].content[0].text == "x"
    assert stored.items == [{"a": 1}]
    assert [item.get("id") for item in stored.conversation] == [None, "msg_1"]


def test_answers_and_what_they_go_on_from_count():
    store = ResponseStore(max_bytes=10 * MIB)
    first = made(store, 1, output=[message("x" * 3 * MIB)])
    assert store.kept_bytes > 3 * MIB
    second = made(store, 2, first, items=[{"text": "y" * 3 * MIB}])
    assert store.kept_bytes > 6 * MIB
    store.delete("resp_1", "me")
    assert store.kept_bytes > 6 * MIB  # the second still needs it
    assert len(second.conversation) == 2
    store.delete("resp_2", "me")
    assert store.kept_bytes == 0


def test_kept_bytes_are_bounded_whatever_they_are_of():
    store = ResponseStore(max_bytes=10 * MIB)
    previous = None
    for number in range(20):
        previous = made(store, number, previous, output=[message("x" * MIB)])
        assert store.kept_bytes <= 11 * MIB
    with pytest.raises(ResponseNotFound):
        store.get("resp_0", ["me"])


def test_long_conversation_is_kept_once():
    store = ResponseStore()
    previous = None
    for number in range(100):
        previous = made(store, number, previous, items=[{"text": "y" * 10_000}])
    assert store.kept_bytes < 100 * 15_000
    assert len(previous.conversation) == 100


def test_response_being_made_is_not_forgotten():
    store = ResponseStore(max_bytes=1)
    response = Response(id="resp_1", created_at=0, model="m")
    stored = StoredResponse("me", response, None, [])
    store.add(stored, 100)
    assert store.get("resp_1", ["me"]) is stored
    store.settle(stored)
    with pytest.raises(ResponseNotFound):
        store.get("resp_1", ["me"])


def test_one_that_goes_on_from_a_forgotten_one_keeps_it():
    store = ResponseStore()
    first = made(store, 1, items=[{"text": "x" * MIB}])
    store.delete("resp_1", "me")
    assert store.kept_bytes == 0
    second = made(store, 2, first)
    assert store.kept_bytes > MIB
    store.forget(second)
    assert store.kept_bytes == 0


def reference(name):
    return {"type": "item_reference", "id": name}


def test_references_are_resolved_for_their_owner_alone():
    store = ResponseStore()
    made(store, 1, output=[message("x")])
    assert store.resolved([reference("msg_1")], ["me"])[0]["role"] == "assistant"
    assert store.resolved([reference("msg_1")], ["you"]) == [reference("msg_1")]
    assert store.resolved([reference("msg_2")], ["me"]) == [reference("msg_2")]
    store.delete("resp_1", "me")
    assert store.resolved([reference("msg_1")], ["me"]) == [reference("msg_1")]


def test_many_references_to_one_item_do_not_become_much():
    store = ResponseStore()
    made(store, 1, output=[message("x" * MIB)])
    references = [reference("msg_1")] * (MOST_REFERRED_BYTES // MIB + 1)
    with pytest.raises(InvalidRequest, match="refer to less"):
        store.resolved(references, ["me"])
