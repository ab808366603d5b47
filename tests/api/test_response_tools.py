"""The tools of Codex, and of others of OpenAI's clients, on the Responses API."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.responses import Response

from claude_nb_gateway.demo.model import Reply

from .test_tools import call, sessions, tool_results

PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: ANYTHING"},
}
SHELL = {"type": "local_shell"}
LOOK_UP = {
    "type": "function",
    "name": "look_up",
    "strict": False,
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}
NAMESPACE = {
    "type": "namespace",
    "name": "mcp__words",
    "description": "Words.",
    "tools": [LOOK_UP, {**PATCH, "name": "edit"}],
}
CODEX = [LOOK_UP, PATCH, SHELL, NAMESPACE, {"type": "web_search"}]

TEXT = '*** Begin Patch\n"é" \\ \U0001f600'
CUSTOM_CALL = call(
    1, "mcp__client__apply_patch", ('{"inp', 'ut": ', json.dumps(TEXT), "}")
)
COMMAND = {"command": ["ls", "-l"], "working_directory": "/x", "timeout_ms": 1_000}
SHELL_CALL = call(2, "mcp__client__local_shell", (json.dumps(COMMAND),))
WITHIN_CALL = call(3, "mcp__client__mcp__words__look_up", ('{"word": "a"}',))


@pytest.fixture
def respond(client):
    """As Codex asks: nothing is stored, the answer streams."""

    def respond(*items, stream=False, **options):
        options = {"tools": CODEX, "store": False} | options
        response = client.responses.with_raw_response.create(
            model="sonnet", input=list(items), stream=stream, **options
        )
        if not stream:
            Response.model_validate_json(response.content, strict=True)
        return response

    return respond


def user(text):
    return {"role": "user", "content": text}


def echoed(response):
    return [item.model_dump(exclude_none=True) for item in response.output]


def test_every_tool_of_the_client_is_offered_and_others_are_reported(respond, model):
    response = respond(user("hi"))
    assert response.headers["x-ignored-parameters"] == "tools[4]"
    told = [tool.type for tool in response.parse().tools]
    assert told == ["function", "custom", "local_shell", "namespace"]
    offered = {tool["name"]: tool for tool in model.requests[0].body["tools"]}
    prefix = "mcp__client__"
    assert offered.keys() == {
        prefix + name
        for name in (
            "look_up",
            "apply_patch",
            "local_shell",
            "mcp__words__look_up",
            "mcp__words__edit",
        )
    }
    assert "start: ANYTHING" in offered[prefix + "apply_patch"]["description"]


@pytest.mark.soak
@pytest.mark.parametrize("stream", [False, True])
def test_calls_have_the_form_of_their_tools_and_are_answered(respond, model, stream):
    calls = [CUSTOM_CALL, SHELL_CALL, WITHIN_CALL]
    model.script(Reply(tool_uses=calls), Reply(["Done."]))
    question = user(f"do it {stream}")
    answer = respond(question, stream=stream).parse()
    response = list(answer)[-1].response if stream else answer
    custom, shell, within = response.output
    assert (custom.type, custom.name, custom.input) == (
        "custom_tool_call",
        "apply_patch",
        TEXT,
    )
    assert shell.type == "local_shell_call"
    assert shell.action.model_dump(exclude_none=True) == {
        "type": "exec",
        "env": {},
        **COMMAND,
    }
    assert (within.name, within.namespace) == ("look_up", "mcp__words")
    outputs = [
        {"type": kind, "call_id": item.call_id, "output": item.call_id}
        for kind, item in (
            ("custom_tool_call_output", custom),
            ("function_call_output", shell),
            ("function_call_output", within),
        )
    ]
    last = respond(question, *echoed(response), *outputs).parse()
    assert last.output_text == "Done."
    assert len(tool_results(model.requests[1])) == 3
    assert len(set(sessions(model))) == 1


def test_input_of_a_custom_tool_is_streamed_by_its_own_events(respond, model):
    model.script(Reply(tool_uses=[CUSTOM_CALL]))
    events = list(respond(user("patch it"), stream=True).parse())
    types = [event.type for event in events]
    assert types[2:] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert events[3].delta == events[4].input == TEXT
    assert events[2].item.input == ""


def test_items_of_tools_that_are_left_out_are_left_out_too(respond, model):
    kinds = (
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "computer_call",
        "computer_call_output",
        "tool_search_call",
        "tool_search_output",
    )
    items = [{"type": kind, "id": "x", "status": "completed"} for kind in kinds]
    respond(user("look"), *items, user("go on"))
    assert [role for role, _ in model.requests[0].turns] == ["user"]


def test_items_of_codex_are_history(respond, model):
    history = [
        user("patch"),
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "local_shell_call", "call_id": "c1", "status": "completed"}
        | {"action": {"type": "exec", "command": ["ls"], "env": {}}},
        {"type": "local_shell_call_output", "id": "c1", "output": "a.txt"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch"}
        | {"input": TEXT},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "ok"},
        user("go on"),
    ]
    respond(*history)
    used = [
        block["input"]
        for turn in model.requests[0].messages
        for block in turn["content"]
        if block["type"] == "tool_use"
    ]
    assert used == [{"command": ["ls"]}, {"input": TEXT}]


def test_input_that_is_no_text_is_corrected(respond, model):
    wrong = call(1, "mcp__client__apply_patch", ('{"patch": 1}',))
    model.script(Reply(tool_uses=[wrong]), Reply(tool_uses=[CUSTOM_CALL]))
    response = respond(user("patch"))
    assert response.headers["x-corrected-parameters"] == "tools"
    (item,) = response.parse().output
    assert item.input == TEXT


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_allowed_tools_are_called(respond, model, mode):
    other = call(9, "mcp__client__look_up", ("{}",))
    model.script(Reply(tool_uses=[other]), Reply(tool_uses=[CUSTOM_CALL]))
    tools = [{"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]
    choice = {"type": "allowed_tools", "mode": mode, "tools": tools}
    response = respond(user("patch"), tool_choice=choice)
    assert response.headers["x-corrected-parameters"] == "tool_choice"
    (item,) = response.parse().output
    assert item.name == "apply_patch"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "telepathy"}]}, "tools[0].type"),
        ({"tools": [{"name": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        ({"tools": [{**NAMESPACE, "tools": [SHELL]}]}, "tools[0].tools[0].type"),
        (
            {
                "tools": [
                    {"type": "web_search"},
                    {**NAMESPACE, "tools": [LOOK_UP, {**LOOK_UP, "name": ""}]},
                ]
            },
            "tools[1].tools[1].name",
        ),
        ({"tools": [SHELL, SHELL]}, "tools[1].name"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{}]}},
            "tool_choice",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}},
            "tool_choice",
        ),
        ({"tool_choice": {"type": "custom", "name": "x"}}, "tool_choice"),
    ],
)
def test_what_cannot_be_honoured_names_its_field(respond, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        respond(user("q"), **options)
    assert error.value.param == param
    assert f"`{param}`" in error.value.message
