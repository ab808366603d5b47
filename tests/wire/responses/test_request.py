"""What a request of the Responses API asks."""

from __future__ import annotations

import msgspec
import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.attachments import Images
from claude_nb_gateway.wire.responses.request import (
    decode_response_create,
    decode_response_request,
    items_of,
    named_previous,
    read_messages,
    read_request,
)
from claude_nb_gateway.wire.responses.tools import read_tools

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "r"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
BAD_FORMAT = {"type": "json_schema", "name": "n", "schema": {"type": 1}}
PNG = "data:image/png;base64,iVBORw0KGgoAAAAA"


def message(role, *parts):
    return {"role": role, "content": list(parts)}


def text(words, kind="input_text"):
    return {"type": kind, "text": words}


def asked(*items, before=(), **fields):
    body = {"model": "sonnet", "input": list(items), **fields}
    request = decode_response_request(msgspec.json.encode(body))
    images = Images()
    messages = read_messages(request, before, items_of(request), images)
    return read_request(request, read_tools(request.tools), messages, images)


def refused(*items, **fields):
    with pytest.raises(InvalidRequest) as error:
        asked(*items, **fields)
    assert f"`{error.value.param}`" in error.value.message
    return error.value.param


def test_instructions_are_the_system_prompt():
    conversation = asked(message("user", text("q")), instructions="brief").conversation
    assert conversation.setup.system == ("brief",)
    assert conversation.question == [{"type": "text", "text": "q"}]


def test_items_of_the_assistant_make_one_turn():
    said = message("assistant", text("a", "output_text"))
    conversation = asked(
        message("user", text("q")), said, CALL, RESULT, tools=[FUNCTION]
    ).conversation
    (_, turn) = conversation.history
    assert [block["type"] for block in turn.content] == ["text", "tool_use"]
    assert conversation.results == {"c1"}


def test_conversation_that_goes_on_comes_first():
    before = [{"type": "message", **message("user", text("earlier"))}]
    conversation = asked(message("user", text("now")), before=before).conversation
    assert [block["text"] for block in conversation.question] == ["earlier", "now"]


def test_earlier_calls_of_other_kinds_are_calls_of_functions():
    items = [
        {"type": "custom_tool_call", "call_id": "c1", "name": "c", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "r"},
        {
            "type": "local_shell_call",
            "call_id": "c2",
            "action": {"type": "exec", "command": ["ls"], "env": {}},
        },
        {"type": "local_shell_call_output", "call_id": "c2", "output": "r"},
    ]
    tools = [{"type": "custom", "name": "c"}, {"type": "local_shell"}]
    first, _, second = asked(*items, tools=tools).conversation.history
    assert first.content[0]["input"] == {"input": "x"}
    assert second.content[0]["input"] == {"command": ["ls"]}


def test_functions_of_a_namespace_are_named_in_the_request():
    inner = {"type": "function", "name": "f", "parameters": {"type": "array"}}
    tools = [{"type": "namespace", "name": "n", "tools": [inner]}]
    assert refused(message("user", text("q")), tools=tools) == (
        "tools[0].tools[0].parameters"
    )


def test_remote_image_is_to_be_fetched():
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    reading = asked(message("user", image))
    assert [image.path for image in reading.images] == ["input[0].content[0].image_url"]


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([message("user")], "input"),
        ([message("king", text("q"))], "input[0].role"),
        ([{"type": "item_reference", "id": "x"}], "input[0].id"),
        ([RESULT], "input[0].call_id"),
        ([message("user", text("q")), CALL], "input[1]"),
        (
            [message("system", {"type": "input_image", "image_url": PNG})],
            "input[0].content[0]",
        ),
        ([message("user", {"type": "input_image"})], "input[0].content[0].image_url"),
        (
            [message("user", {"type": "input_file", "file_url": "https://x"})],
            "input[0].content[0].file_url",
        ),
        (
            [message("user", {"type": "input_file", "file_id": "f"})],
            "input[0].content[0].file_data",
        ),
        (
            [CALL, {**RESULT, "output": [{"type": "input_file", "file_data": "x"}]}],
            "input[1].output[0]",
        ),
    ],
)
def test_what_cannot_be_said_names_its_field(items, param):
    assert refused(*items) == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "spoon"}]}, "tools[0].type"),
        ({"tools": [{"type": "web_search"}, FUNCTION, FUNCTION]}, "tools[2].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"background": True, "stream": True}, "background"),
        ({"background": True, "store": False}, "background"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "n",
                        "schema": {"type": 1},
                    }
                }
            },
            "text.format.schema.type",
        ),
    ],
)
def test_what_cannot_be_asked_names_its_field(fields, param):
    assert refused(message("user", text("q")), **fields) == param


def test_choice_among_tools_leaves_out_those_of_openai():
    tools = [{"type": "web_search"}, FUNCTION]
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}],
    }
    question = message("user", text("q"))
    rule = asked(question, tools=tools, tool_choice=choice).conversation.rule
    assert (rule.allowed, rule.required) == ({"mcp__client__f"}, True)


def test_format_of_the_answer_is_named_as_the_client_knows_it():
    conversation = asked(message("user", text("q"))).conversation
    assert conversation.names.answer == "text.format"
    assert conversation.names.messages == "input"


def test_message_of_a_socket_is_always_streamed():
    create = decode_response_create(b'{"type": "response.create", "input": "q"}')
    assert create.stream is True
    assert decode_response_create(b'{"type": "response.processed"}') is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"type": "response.cancel"}, "type"),
        ({"type": "response.create", "stream": False}, "stream"),
        ({"type": "response.create", "background": True}, "background"),
    ],
)
def test_what_a_socket_cannot_be_asked_names_its_field(fields, param):
    with pytest.raises(InvalidRequest) as error:
        decode_response_create(msgspec.json.encode({"input": "q", **fields}))
    assert error.value.param == param


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b'{"previous_response_id": "resp_1", "input": 5}', "resp_1"),
        (b'{"input": "q"}', None),
        (b"{", None),
        (b'{"previous_response_id": 5}', None),
    ],
)
def test_response_that_goes_on_is_known_whatever_else_is_wrong(sent, found):
    assert named_previous(sent) == found
