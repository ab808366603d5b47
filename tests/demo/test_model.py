from __future__ import annotations

import httpx2
import pytest

from claude_nb_gateway.demo.model import ModelServer, Reply, ToolUse

QUESTION = {"role": "user", "content": [{"type": "text", "text": "one two"}]}


def ask(model, **body):
    body = {"model": "claude-x", "messages": [QUESTION], **body}
    return httpx2.post(f"{model.url}/v1/messages", json=body)


def test_without_a_script_it_echoes(model):
    message = ask(model).json()
    assert message["content"] == [{"type": "text", "text": "one two"}]
    assert message["stop_reason"] == "end_turn"
    assert message["model"] == "claude-x"


def test_whole_answer_is_that_of_the_stream(model):
    use = ToolUse("look", ['{"a"', ": 1}"], id="toolu_1")
    model.script(Reply(["hi"], thinking=["hm"], tool_uses=[use]))
    message = ask(model).json()
    kinds = [block["type"] for block in message["content"]]
    assert kinds == ["thinking", "text", "tool_use"]
    assert message["content"][2]["input"] == {"a": 1}
    assert message["stop_reason"] == "tool_use"


def test_stream_has_the_events_in_order(model):
    model.script(Reply(["a", "b"]))
    body = {"model": "claude-x", "messages": [QUESTION], "stream": True}
    with httpx2.stream("POST", f"{model.url}/v1/messages", json=body) as response:
        kinds = [event.event for event in httpx2.EventSource(response)]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_errors_have_the_apis_shape(model):
    reply = Reply(status=529, error_type="overloaded_error", message="busy")
    model.script(reply)
    response = ask(model)
    assert response.status_code == 529
    assert response.json()["error"] == {"type": "overloaded_error", "message": "busy"}


def test_requests_are_recorded(model):
    ask(model, system=[{"type": "text", "text": "be brief"}])
    (request,) = model.requests
    assert request.turns == [("user", "one two")]
    assert request.system == "be brief"
    assert request.answered.wait(5)  # which comes a moment after the last byte


def test_waiting_for_a_request_that_never_comes_is_bounded():
    with ModelServer() as model, pytest.raises(TimeoutError):
        model.wait_for_request(timeout=0.01)


@pytest.mark.parametrize("pieces", [1, 200, 5000])
def test_client_that_goes_away_is_noticed(model, pieces):
    body = {"model": "claude-x", "messages": [QUESTION], "stream": True}
    for _ in range(10):
        model.reset()
        model.script(Reply(["word "] * pieces, delay_seconds=0.0002, hang="after"))
        with httpx2.stream("POST", f"{model.url}/v1/messages", json=body) as response:
            next(response.iter_bytes())
        assert model.requests[0].abandoned.wait(10)
