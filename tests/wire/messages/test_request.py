"""What a request of Anthropic's Messages API asks."""

from __future__ import annotations

import msgspec
import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.messages.request import (
    COUNT_TOKENS,
    MESSAGES,
    fields_without_effect,
    read_request,
    shows_thoughts,
    tools_left_out,
)

PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAA"}
USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}}
BAD_FORMAT = {"type": "json_schema", "schema": {"type": 1}}
SERVERS = {"type": "web_search_20250305", "name": "web_search"}


def message(role, content):
    return {"role": role, "content": content}


def decode(*messages, **fields):
    body = {"model": "sonnet", "max_tokens": 9, "messages": list(messages), **fields}
    return MESSAGES.decode(msgspec.json.encode(body))


def reading(*messages, **fields):
    return read_request(decode(*messages, **fields))


def asked(*messages, **fields):
    return reading(*messages, **fields).conversation


def refused(*messages, **fields):
    with pytest.raises(InvalidRequest) as error:
        reading(*messages, **fields)
    assert f"`{error.value.param}`" in error.value.message
    return error.value.param


def result(**fields):
    return {"type": "tool_result", "tool_use_id": "c1", "content": "r", **fields}


def test_system_limit_and_effort_are_taken_over():
    conversation = asked(
        message("user", "q"), system="be brief", output_config={"effort": "high"}
    )
    assert conversation.setup.system == ("be brief",)
    assert conversation.setup.effort == "high"
    assert conversation.max_output_tokens == 9


def test_calls_and_results_are_turns():
    conversation = asked(
        message("user", "q"),
        message("assistant", [{"type": "text", "text": "a"}, USE]),
        message("user", [result(is_error=True), {"type": "text", "text": "and?"}]),
        tools=[TOOL],
    )
    (_, said) = conversation.history
    assert [block["type"] for block in said.content] == ["text", "tool_use"]
    assert said.content[1]["input"] == {"a": 1}
    answer, words = conversation.question
    assert (answer["tool_use_id"], answer["is_error"]) == ("c1", True)
    assert words["text"] == "and?"


def test_results_may_come_in_several_messages():
    other = {**USE, "id": "c2"}
    conversation = asked(
        message("user", "q"),
        message("assistant", [USE, other]),
        message("user", [result()]),
        message("user", [result(tool_use_id="c2")]),
        tools=[TOOL],
    )
    assert conversation.results == {"c1", "c2"}


def test_earlier_thoughts_are_not_told_again():
    thought = {"type": "thinking", "thinking": "hm", "signature": "x"}
    conversation = asked(
        message("user", "q"),
        message("assistant", [thought, {"type": "text", "text": "a"}]),
        message("user", "q2"),
    )
    assert len(conversation.history[1].content) == 1


def test_images_and_documents_are_blocks():
    source = {"type": "text", "data": "words"}
    blocks = [
        {"type": "image", "source": PNG},
        {"type": "document", "source": source, "title": "a.txt"},
    ]
    image, document = asked(message("user", blocks)).question
    assert image["source"]["media_type"] == "image/png"
    assert (document["source"]["data"], document["title"]) == ("words", "a.txt")


def test_remote_image_is_to_be_fetched():
    source = {"type": "url", "url": "https://example.org/a.png"}
    read = reading(message("user", [{"type": "image", "source": source}]))
    (image,) = read.images
    assert image.path == "messages[0].content[0].source"
    assert image.block is read.conversation.question[0]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([message("user", "")], "messages"),
        ([message("user", [USE])], "messages[0].content[0].type"),
        ([message("assistant", [result()])], "messages[0].content[0].type"),
        ([message("user", [result()])], "messages[0].content[0].tool_use_id"),
        (
            [
                message("user", "q"),
                message("assistant", [USE]),
                message("user", "no result"),
            ],
            "messages[1]",
        ),
        (
            [
                message(
                    "user",
                    [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
                )
            ],
            "messages[0].content[0].source",
        ),
        (
            [message("user", [{"type": "document", "source": {**PNG, "data": "?"}}])],
            "messages[0].content[0].source.data",
        ),
        (
            [
                message("user", "q"),
                message("system", [{"type": "image", "source": PNG}]),
            ],
            "messages[1].content[0]",
        ),
    ],
)
def test_what_cannot_be_said_names_its_field(messages, param):
    assert refused(*messages) == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [TOOL, TOOL]}, "tools[1].name"),
        ({"tools": [{**TOOL, "type": "bash_20250124"}]}, "tools[0].type"),
        (
            {"tools": [SERVERS, {**TOOL, "input_schema": {"type": "array"}}]},
            "tools[1].input_schema",
        ),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
        (
            {
                "output_config": {
                    "format": {"type": "json_schema", "schema": {"type": 1}}
                }
            },
            "output_config.format.schema.type",
        ),
        ({"stop_sequences": ["x"] * 65}, "stop_sequences"),
    ],
)
def test_what_cannot_be_asked_names_its_field(fields, param):
    assert refused(message("user", "q"), **fields) == param


def test_tools_of_anthropics_servers_are_left_out():
    request = decode(message("user", "q"), tools=[SERVERS, TOOL])
    assert tools_left_out(request) == ["tools[0]"]
    conversation = read_request(request).conversation
    assert [tool.name for tool in conversation.setup.tools] == ["f"]
    assert conversation.names.tools == ("tools[1].input_schema",)


def test_choice_of_tools_is_a_rule():
    choice = {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    rule = asked(message("user", "q"), tools=[TOOL], tool_choice=choice).rule
    assert rule.allowed == {"mcp__client__f"}
    assert (rule.required, rule.one_at_a_time) == (True, True)


def test_what_is_ignored_within_messages_is_named():
    source = {"type": "text", "data": "words"}
    block = {"type": "document", "source": source, "context": "c"}
    request = decode(message("user", [block]))
    assert fields_without_effect(request) == ["messages[].content[].context"]


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (None, False),
        ({"type": "disabled"}, False),
        ({"type": "enabled", "budget_tokens": 1024}, True),
        ({"type": "adaptive", "display": "omitted"}, False),
    ],
)
def test_thoughts_are_shown_where_they_are_wanted(thinking, shown):
    assert shows_thoughts(decode(message("user", "q"), thinking=thinking)) is shown


def test_a_count_of_tokens_needs_no_limit():
    body = {"model": "sonnet", "messages": [message("user", "q")]}
    request = COUNT_TOKENS.decode(msgspec.json.encode(body))
    assert read_request(request).conversation.max_output_tokens is None
