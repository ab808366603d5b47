"""Calls in a history, and their results."""

from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.tools import is_unparsed
from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.calls import Call, CallIds, Calls


def calls_of(*ids, arguments="{}"):
    calls = [Call(call_id, "f", arguments, f"calls[{call_id}]") for call_id in ids]
    return Calls(calls, CallIds(), "messages[1].tool_calls")


def add(calls, call_id, words="r", failed=False):
    content = [{"type": "text", "text": words}]
    calls.add_result(call_id, content, failed=failed, path="messages[2].tool_call_id")


def test_ids_that_come_again_are_made_unique():
    ids = CallIds()
    assert [ids.next("a"), ids.next("b"), ids.next("a")] == ["a", "b", "a-again-2"]


def test_id_that_the_api_does_not_take_is_replaced_in_the_same_way_each_time():
    first, second = CallIds().next("call:1"), CallIds().next("call:1")
    assert first == second
    assert first.startswith("toolu_")


def test_results_come_in_the_order_of_the_calls():
    calls = calls_of("a", "b")
    add(calls, "b")
    add(calls, "a", failed=True)
    first, second = calls.results()
    assert (first["tool_use_id"], first["is_error"]) == ("a", True)
    assert (second["tool_use_id"], "is_error" in second) == ("b", False)


def test_results_of_one_id_go_to_its_calls_in_turn():
    calls = calls_of("a", "a")
    add(calls, "a", "one")
    add(calls, "a", "two")
    texts = [result["content"][0]["text"] for result in calls.results()]
    assert texts == ["one", "two"]
    assert [result["tool_use_id"] for result in calls.results()] == ["a", "a-again-2"]


def test_result_that_nobody_waits_for_names_its_field():
    with pytest.raises(InvalidRequest) as error:
        add(calls_of("a"), "x")
    assert error.value.param == "messages[2].tool_call_id"


def test_call_without_a_result_names_the_calls():
    with pytest.raises(InvalidRequest, match="'a'") as error:
        calls_of("a").results()
    assert error.value.param == "messages[1].tool_calls"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('{"a": 1}', {"a": 1}), ("", {}), ({"a": 1}, {"a": 1})],
)
def test_arguments_are_parsed(arguments, expected):
    (block,) = calls_of("a", arguments=arguments).blocks
    assert block["input"] == expected


def test_arguments_that_are_no_object_are_kept_as_they_are():
    (block,) = calls_of("a", arguments="[1]").blocks
    assert is_unparsed(block)


@pytest.mark.parametrize("arguments", ["[" * 100_000, '{"a":' * 300 + "1" + "}" * 300])
def test_arguments_that_are_nested_too_deeply_name_their_field(arguments):
    with pytest.raises(InvalidRequest) as error:
        calls_of("a", arguments=arguments)
    assert error.value.param == "calls[a]"
