from __future__ import annotations

import msgspec
import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.chat.request import (
    CHAT_COMPLETION,
    decode_request,
    read_request,
)

PNG = "data:image/png;base64,iVBORw0KGgoAAAAA"


def conversation(*messages, **options):
    body = {"model": "sonnet", "messages": list(messages), **options}
    return read_request(decode_request(msgspec.json.encode(body))).conversation


def message(role, content):
    return {"role": role, "content": content}


def texts(blocks):
    return [block["text"] for block in blocks]


def test_leading_system_messages_make_the_prompt():
    result = conversation(
        message("system", "one"), message("developer", "two"), message("user", "q")
    )
    assert result.setup.system == ("one", "two")
    assert result.history == ()
    assert texts(result.question) == ["q"]


def test_later_system_message_keeps_its_place():
    result = conversation(
        message("user", "q1"),
        message("assistant", "a1"),
        message("system", "note"),
        message("user", "q2"),
    )
    assert result.setup.system == ()
    assert [turn.role for turn in result.history] == ["user", "assistant"]
    assert texts(result.question) == ["note", "q2"]


def test_system_message_alone_is_the_question():
    result = conversation(message("system", "one"), message("system", "two"))
    assert result.setup.system == ("one",)
    assert texts(result.question) == ["two"]


def test_user_messages_in_a_row_are_one_turn_of_blocks():
    result = conversation(message("user", "one"), message("user", "two"))
    assert texts(result.question) == ["one", "two"]


def test_empty_messages_make_no_turn():
    result = conversation(
        message("user", "one"), message("assistant", ""), message("user", "two")
    )
    assert result.history == ()
    assert texts(result.question) == ["one", "two"]


def test_parts_become_blocks_in_order():
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        {"type": "text", "text": "this"},
    ]
    kinds = [block["type"] for block in conversation(message("user", parts)).question]
    assert kinds == ["text", "image", "text"]


def test_text_is_verbatim():
    text = "  /clear @/etc/hostname {x} \n"
    assert texts(conversation(message("user", text)).question) == [text]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([message("user", "")], "messages"),
        ([message("user", "q"), {"role": "tool", "content": "r"}], "messages[1]"),
        (
            [message("assistant", None) | {"tool_calls": [{}]}, message("user", "q")],
            "messages[0].tool_calls[0]",
        ),
        (
            [message("user", [{"type": "input_audio", "input_audio": {}}])],
            "messages[0].content[0]",
        ),
        (
            [message("system", [{"type": "image_url", "image_url": {"url": PNG}}])] * 2,
            "messages[0].content[0]",
        ),
    ],
)
def test_what_cannot_be_said_names_its_field(messages, param):
    with pytest.raises(InvalidRequest) as error:
        conversation(*messages)
    assert error.value.param == param


@pytest.mark.parametrize(
    "url",
    [
        "data:image/svg+xml;base64,AAAA",
        "data:image/png;base64,???",
        "data:image/png,plain",
        "/etc/passwd",
    ],
)
def test_images_that_cannot_be_sent_name_their_field(url):
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(InvalidRequest) as error:
        conversation(message("user", [part]))
    assert error.value.param == "messages[0].content[0].image_url.url"


def test_limits_and_effort_are_taken_over():
    limits = {"max_tokens": 5, "max_completion_tokens": 7}
    result = conversation(message("user", "q"), reasoning_effort="minimal", **limits)
    assert result.max_output_tokens == 7
    assert result.setup.effort == "low"


def test_limit_below_one_is_refused():
    with pytest.raises(InvalidRequest, match="at least 1"):
        conversation(message("user", "q"), max_tokens=0)


def test_every_declared_field_has_a_meaning():
    fields = CHAT_COMPLETION
    declared = list(fields.type.__struct_fields__)
    said = [*fields.honoured, *fields.without_effect, *fields.refused]
    assert sorted(declared) == sorted(said)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one_is_refused_by_its_name(name, limit):
    with pytest.raises(InvalidRequest) as error:
        conversation(message("user", "q"), **{name: limit})
    assert error.value.param == name
