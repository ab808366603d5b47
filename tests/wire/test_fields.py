"""What becomes of the fields of a request."""

from __future__ import annotations

import msgspec
import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.fields import (
    MOST_DEPTH,
    Fields,
    Refusal,
    check_depth,
    containers_in,
    too_deep,
)


class Request(msgspec.Struct):
    text: str
    number: int | None = None
    ignored: str | None = None
    refused: bool | None = None


FIELDS = Fields(
    Request,
    honoured={"text": "", "number": ""},
    without_effect=("ignored",),
    refused={"refused": Refusal(bool, "Leave it out.")},
)


def refusal(body):
    with pytest.raises(InvalidRequest) as error:
        FIELDS.decode(body)
    return error.value


def test_request_is_read():
    assert FIELDS.decode(b'{"text": "a", "unknown": 1}') == Request("a")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"text": 1}', "text"),
        (b'{"text": "a", "number": "b"}', "number"),
        (b"{}", "text"),
        (b"[]", None),
        (b'{"text": "a", "refused": true}', "refused"),
    ],
)
def test_what_is_wrong_is_named(body, param):
    error = refusal(body)
    assert error.param == param
    assert param is None or f"`{param}`" in error.message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"u": ' + b"[" * 100_000])
def test_what_is_no_json_says_so(body):
    assert refusal(body).code == "invalid_json"


def test_value_that_changes_nothing_is_not_refused():
    assert FIELDS.decode(b'{"text": "a", "refused": false}').refused is False


def test_half_a_character_is_mended():
    assert FIELDS.decode(rb'{"text": "a\ud83d"}').text == "a\ufffd"


def test_fields_without_effect_are_named_if_they_were_sent():
    assert FIELDS.sent_without_effect(Request("a")) == []
    assert FIELDS.sent_without_effect(Request("a", ignored="")) == ["ignored"]


def nested(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_depth_is_bounded():
    check_depth(nested(MOST_DEPTH), "f")
    with pytest.raises(InvalidRequest) as error:
        check_depth(nested(MOST_DEPTH + 1), "f")
    assert error.value.message == too_deep("f").message
    assert error.value.param == "f"


def test_containers_are_those_right_within_that_hold_something():
    assert list(containers_in({"a": [1], "b": {}, "c": "x"})) == [[1]]
    assert list(containers_in("x")) == []
