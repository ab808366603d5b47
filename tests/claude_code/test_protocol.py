from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code import protocol
from claude_nb_gateway.errors import ProtocolError


def test_text_delta_is_decoded():
    line = b"""{"type":"stream_event","parent_tool_use_id":null,"uuid":"u","event":
        {"type":"content_block_delta","index":0,
         "delta":{"type":"text_delta","text":"hi"}}}"""
    message = protocol.decode(line)
    assert message.event.delta.text == "hi"


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"from_the_future","x":1}',
        b'{"type":"stream_event","event":{"type":"new_event"}}',
        b'{"type":"result","is_error":"not a bool"}',
        b"{}",
    ],
)
def test_unknown_messages_pass_with_their_content(line):
    assert isinstance(protocol.decode(line), protocol.Unknown)


def test_half_a_character_is_decoded():
    line = (
        rb'{"type":"stream_event","event":{"type":"content_block_delta",'
        rb'"index":0,"delta":{"type":"text_delta","text":"\ud83d"}}}'
    )
    assert protocol.decode(line).event.delta.text == "\ud83d"


@pytest.mark.parametrize("line", [b"Segmentation fault", b"[]", b'{"type":'])
def test_what_is_not_an_object_is_an_error(line):
    with pytest.raises(ProtocolError) as error:
        protocol.decode(line)
    assert line.decode() in error.value.detail
    assert line.decode() not in error.value.message


@pytest.mark.parametrize("depth", [1_200, 100_000])
@pytest.mark.parametrize("surrogate", ["", "\\ud83d"])
def test_what_is_nested_too_deeply_is_an_error(depth, surrogate):
    value = '{"a":' * depth + f'"{surrogate}"' + "}" * depth
    use = f'{{"type": "tool_use", "id": "t", "name": "f", "input": {value}}}'
    line = f'{{"type": "assistant", "message": {{"id": "m", "content": [{use}]}}}}'
    with pytest.raises(ProtocolError, match="nested too deeply"):
        protocol.decode(line.encode())


def test_user_text_is_marked_as_not_to_be_interpreted():
    message = protocol.user_message("/clear")
    assert message["client_composed"] is True
    assert "shouldQuery" not in message
    assert protocol.user_message("x", query=False)["shouldQuery"] is False


def test_a_message_is_one_line():
    assert protocol.encode({"text": "a\nb"}).count(b"\n") == 1
