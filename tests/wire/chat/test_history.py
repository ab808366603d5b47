from __future__ import annotations

from claude_nb_gateway.wire.chat.history import chat_messages


def entry(kind, content, **message):
    return {
        "uuid": f"u-{kind}",
        "type": kind,
        "message": {"content": content, **message},
    }


def text(words):
    return {"type": "text", "text": words}


def test_turns_become_messages():
    messages = chat_messages(
        [entry("user", "hi"), entry("assistant", [text("hello")], id="m1")]
    )
    assert [(m["role"], m["content"]) for m in messages] == [
        ("user", "hi"),
        ("assistant", "hello"),
    ]


def test_blocks_of_one_message_are_one_message():
    call = {"type": "tool_use", "id": "c", "name": "mcp__client__f", "input": {"a": 1}}
    entries = [
        entry("assistant", [text("let me see")], id="m1"),
        entry("assistant", [call], id="m1"),
        entry("assistant", [text("another")], id="m2"),
    ]
    first, second = chat_messages(entries)
    assert first["content"] == "let me see"
    function = first["tool_calls"][0]["function"]
    assert function == {"name": "f", "arguments": '{"a": 1}'}
    assert second["content"] == "another"


def test_results_of_tools_are_messages_of_their_own():
    result = {"type": "tool_result", "tool_use_id": "c", "content": [text("42")]}
    (message,) = chat_messages([entry("user", [result])])
    assert message["role"] == "tool"
    assert (message["tool_call_id"], message["content"]) == ("c", "42")


def test_images_come_back_as_they_were_sent():
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    image = {"type": "image", "source": source}
    (message,) = chat_messages([entry("user", [text("what?"), image])])
    url = message["content"][1]["image_url"]["url"]
    assert url == "data:image/png;base64,AAAA"
