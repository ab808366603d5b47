from __future__ import annotations

import msgspec
import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.chat.request import (
    decode_request,
    fields_without_effect,
    stop_sequences,
)

MESSAGES = [{"role": "user", "content": "q"}]


def decode(**fields):
    return decode_request(msgspec.json.encode({"messages": MESSAGES, **fields}))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"text"', b"null", b"[]"])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(InvalidRequest):
        decode_request(body)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "king", "content": "q"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"model": 1}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ],
)
def test_field_of_a_wrong_type_is_named(fields, param):
    with pytest.raises(InvalidRequest) as error:
        decode(**fields)
    assert error.value.param == param
    assert param in error.value.message


def test_missing_messages_are_named():
    with pytest.raises(InvalidRequest) as error:
        decode_request(b"{}")
    assert error.value.param == "messages"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}),
        ("web_search_options", {}),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(name, value):
    with pytest.raises(InvalidRequest) as error:
        decode(**{name: value})
    assert error.value.param == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1),
        ("stop", []),
        ("logprobs", False),
        ("tools", []),
        ("tool_choice", "auto"),
        ("response_format", {"type": "text"}),
        ("modalities", ["text"]),
        ("temperature", None),
        ("from_the_future", {"x": 1}),
    ],
)
def test_what_changes_nothing_passes(name, value):
    assert fields_without_effect(decode(**{name: value})) == []


@pytest.mark.parametrize("stop", [None, [], "END", ["a", "b", "c", "d"]])
def test_stop_sequences_are_a_list(stop):
    expected = [stop] if isinstance(stop, str) else (stop or [])
    assert stop_sequences(decode(stop=stop).stop) == expected


@pytest.mark.parametrize("stop", ["", [""], ["x", ""], ["a"] * 5])
def test_too_many_or_empty_stop_sequences_are_refused(stop):
    with pytest.raises(InvalidRequest) as error:
        stop_sequences(decode(stop=stop).stop)
    assert error.value.param == "stop"


def test_fields_without_effect_are_reported():
    request = decode(temperature=0.5, seed=1, user="me")
    assert set(fields_without_effect(request)) == {"temperature", "seed", "user"}


def test_stream_options_without_a_stream_are_refused():
    body = b'{"messages": [], "stream_options": {"include_usage": true}}'
    with pytest.raises(InvalidRequest, match="stream_options") as error:
        decode_request(body)
    assert error.value.param == "stream_options"


def test_name_of_a_message_is_reported():
    named = {"role": "user", "content": "q", "name": "Ann"}
    assert fields_without_effect(decode(messages=[named])) == ["messages[].name"]
