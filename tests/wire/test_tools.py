"""The tools of a request and the rules of their use."""

from __future__ import annotations

import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.tools import FunctionDefinition, ToolChoice, tool_use


def function(name, schema=None, strict=None, index=0):
    path = f"tools[{index}]"
    return FunctionDefinition(name, None, schema, strict, path, f"{path}.parameters")


F, G = function("f"), function("g", index=1)


def rule_of(choice, *functions, **options):
    return tool_use(functions or (F, G), choice, **options).rule


def test_tools_used_freely_have_no_rule():
    use = tool_use([F, G], ToolChoice())
    assert [tool.name for tool in use.tools] == ["f", "g"]
    assert use.rule is None


def test_named_tool_is_the_only_one_and_must_be_called():
    rule = rule_of(ToolChoice("named", ("f",)))
    assert (rule.allowed, rule.required) == ({"mcp__client__f"}, True)


@pytest.mark.parametrize("required", [True, False])
def test_allowed_tools_may_be_called_and_no_others(required):
    rule = rule_of(ToolChoice("allowed", ("g",), required=required))
    assert (rule.allowed, rule.required) == ({"mcp__client__g"}, required)


def test_one_call_at_a_time_is_a_rule():
    assert rule_of(ToolChoice(), one_at_a_time=True).one_at_a_time


def test_without_a_choice_there_are_no_tools():
    assert tool_use([F], ToolChoice("none")).tools == ()


def test_tools_stay_where_the_conversation_has_results():
    use = tool_use([F], ToolChoice("none"), has_results=True)
    assert len(use.tools) == 1
    assert use.rule.allowed == frozenset()


def test_strict_arguments_are_checked_against_the_whole_schema():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    use = tool_use([function("f", schema, strict=True)], ToolChoice())
    ((field, text),) = use.checked
    assert field == "tools[0].parameters"
    assert use.rule.strict == {"mcp__client__f": text}


@pytest.mark.parametrize(
    ("functions", "choice", "param"),
    [
        ([function("")], ToolChoice(), "tools[0].name"),
        ([F, function("f", index=1)], ToolChoice(), "tools[1].name"),
        ([F], ToolChoice("named", ("x",)), "tool_choice"),
        ([F], ToolChoice("allowed", ("x",)), "tool_choice"),
        ([F], ToolChoice("allowed", (), required=True), "tool_choice"),
        ([], ToolChoice("required"), "tool_choice"),
        ([F] * 2_001, ToolChoice(), "tools"),
        ([function("f", {"type": "array"})], ToolChoice(), "tools[0].parameters"),
    ],
)
def test_what_cannot_be_used_names_its_field(functions, choice, param):
    with pytest.raises(InvalidRequest) as error:
        tool_use(functions, choice)
    assert error.value.param == param
