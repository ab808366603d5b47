"""What clients send as tools reaches the model, or is refused by name."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse

from .test_tools import echoed, message_of, result, sessions, user

ODD = ("$filter", "ids[]", "場所", "x" * 65, "a b")


def function(name="search", **parameters):
    schema = {"type": "object", **parameters}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def text(**more):
    return {"type": "string", **more}


@pytest.fixture
def chat(client):
    def chat(*messages, tools, **options):
        return client.chat.completions.create(
            model="sonnet", messages=list(messages), tools=tools, **options
        )

    return chat


def told_of(model):
    """The schemas that reached the model, by the client's names of the tools."""
    return {
        tool["name"].removeprefix("mcp__client__"): tool["input_schema"]
        for tool in model.requests[-1].body.get("tools", [])
    }


def calls_with_all_its_properties(request):
    """A responder: each property of the first tool is given its own number."""
    tool = request.body["tools"][0]
    values = {name: str(n) for n, name in enumerate(tool["input_schema"]["properties"])}
    whole = json.dumps(values, ensure_ascii=False)
    return Reply(tool_uses=[ToolUse(tool["name"], (whole[:5], whole[5:]), "toolu_1")])


WITH_ODD_NAMES = function(
    properties={**{name: text() for name in ODD}, "plain": text()}, required=list(ODD)
)
ALL = {**{name: str(n) for n, name in enumerate(ODD)}, "plain": str(len(ODD))}


@pytest.mark.soak
@pytest.mark.parametrize(
    "odd",
    [{"required": None}, {"properties": None}, {"properties": []}, {"required": {}}],
)
def test_one_sloppy_schema_takes_no_tool_away(chat, model, odd):
    good = function("good", properties={"a": text()})
    chat(user("hi"), tools=[good, function("sloppy", **odd)])
    assert set(told_of(model)) == {"good", "sloppy"}


def test_odd_property_names_are_told_to_the_model_in_other_words(chat, model):
    chat(user("hi"), tools=[WITH_ODD_NAMES])
    schema = told_of(model)["search"]
    assert len(schema["properties"]) == len(ODD) + 1
    assert set(schema["required"]) == set(schema["properties"]) - {"plain"}
    assert "場所" in json.dumps(schema, ensure_ascii=False)


def test_calls_have_the_clients_property_names_and_stay_on_their_process(chat, model):
    model.responder = calls_with_all_its_properties
    message = message_of(chat(user("go"), tools=[WITH_ODD_NAMES]))
    (made,) = message.tool_calls
    assert json.loads(made.function.arguments) == ALL
    model.responder = lambda request: Reply(["done"])
    answer = chat(
        user("go"), echoed(message), result("toolu_1", "x"), tools=[WITH_ODD_NAMES]
    )
    assert message_of(answer).content == "done"
    assert len(set(sessions(model))) == 1


def test_streamed_calls_have_the_clients_property_names(chat, model):
    model.responder = calls_with_all_its_properties
    chunks = chat(user("go"), tools=[WITH_ODD_NAMES], stream=True)
    pieces = [
        call.function.arguments
        for chunk in chunks
        for call in chunk.choices[0].delta.tool_calls or []
    ]
    assert json.loads("".join(pieces)) == ALL


def test_earlier_calls_have_the_models_property_names(chat, model):
    arguments = json.dumps(ALL)
    call = {"name": "search", "arguments": arguments}
    made = {"id": "c1", "type": "function", "function": call}
    before = {"role": "assistant", "tool_calls": [made]}
    chat(user("go"), before, result("c1", "x"), tools=[WITH_ODD_NAMES])
    (use,) = model.requests[0].messages[1]["content"]
    assert set(use["input"]) == set(told_of(model)["search"]["properties"])


def test_strict_calls_are_checked_under_the_clients_property_names(chat, model):
    tool = function(
        properties={"$filter": text(enum=["a"])},
        required=["$filter"],
        additionalProperties=False,
    )
    tool["function"]["strict"] = True

    def call(value):
        def respond(request):
            (used,) = request.body["tools"]
            (name,) = used["input_schema"]["properties"]
            fragments = (json.dumps({name: value}),)
            return Reply(tool_uses=[ToolUse(used["name"], fragments, "toolu_1")])

        return respond

    model.responder = call("a")
    (made,) = message_of(chat(user("go"), tools=[tool])).tool_calls
    assert json.loads(made.function.arguments) == {"$filter": "a"}


def test_nested_property_names_are_no_trouble(chat, model):
    place = {"type": "object", "properties": {"場所": text()}}
    chat(user("hi"), tools=[function(properties={"where": place})])
    assert told_of(model)["search"]["properties"]["where"] == place


@pytest.mark.soak
def test_other_apis_have_the_clients_property_names(gateway, client, model):
    model.responder = calls_with_all_its_properties
    schema = WITH_ODD_NAMES["function"]["parameters"]
    tool = {"type": "function", "name": "search", "parameters": schema}
    made = client.responses.create(model="sonnet", input="go", tools=[tool])
    (item,) = [item for item in made.output if item.type == "function_call"]
    assert json.loads(item.arguments) == ALL
    url = gateway.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=url, api_key=gateway.key) as messages:
        answer = messages.messages.create(
            model="sonnet",
            max_tokens=100,
            messages=[user("go")],
            tools=[{"name": "search", "input_schema": schema}],
        )
    (block,) = [block for block in answer.content if block.type == "tool_use"]
    assert block.input == ALL


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ({"properties": {"a": "string"}}, "properties.a"),
        ({"properties": {"a": {"type": "strin"}}}, "properties.a.type"),
        ({"properties": {"a": {"enum": "x"}}}, "properties.a.enum"),
        ({"required": [1]}, "required[0]"),
        ({"additionalProperties": "x"}, "additionalProperties"),
    ],
)
def test_a_schema_that_is_none_is_refused_by_name(chat, odd, field):
    good = function("good", properties={"a": text()})
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("hi"), tools=[good, function("bad", **odd)])
    assert error.value.param == f"tools[1].function.parameters.{field}"
    assert "'bad'" in error.value.body["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_the_cli_leaves_out_is_an_error(chat, model, stream):
    good = function("good", properties={"a": text()})
    bad = function("bad", properties={"a": text(contentEncoding=5)})
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("hi"), tools=[good, bad], stream=stream)
    assert error.value.param == "tools[1].function.parameters"
    assert "'bad'" in error.value.body["message"]


def test_there_may_be_many_tools_but_not_any_number(chat, model):
    chat(user("hi"), tools=[function(f"t{n}") for n in range(300)])
    assert len(told_of(model)) == 300
    with pytest.raises(openai.BadRequestError) as error:
        chat(user("hi"), tools=[function(f"t{n}") for n in range(2_001)])
    assert error.value.param == "tools"
