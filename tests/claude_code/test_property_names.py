from __future__ import annotations

import json

from claude_nb_gateway.claude_code.property_names import CallTranslator
from claude_nb_gateway.claude_code.protocol import (
    ApiMessage,
    Assistant,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Delta,
    MessageStart,
    StreamEvent,
)

ODD, PLAIN = "mcp__client__odd", "mcp__client__plain"


def translator():
    return CallTranslator({ODD: (("$a", "a_1"),), PLAIN: ()})


def streamed(name, *fragments, index=0, ends=True):
    block = {"type": "tool_use", "id": "c", "name": name, "input": {}}
    events = [ContentBlockStart(index, block)]
    events += [
        ContentBlockDelta(index, Delta("input_json_delta", partial_json=fragment))
        for fragment in fragments
    ]
    events += [ContentBlockStop(index)] if ends else []
    return [StreamEvent(event) for event in events]


def fragments_in(batch):
    return [
        message.event.delta.partial_json
        for message in batch
        if isinstance(message.event, ContentBlockDelta)
    ]


def test_only_calls_with_other_names_are_held_until_they_are_whole():
    calls = translator()
    begun = calls.for_client(streamed(ODD, '{"a_', '1": 1.50}', ends=False))
    assert fragments_in(begun) == []
    rest = calls.for_client([StreamEvent(ContentBlockStop(0))])
    assert fragments_in(rest) == ['{"$a":1.50}']
    fragments = ['{"a_', '1": 1}']
    assert fragments_in(calls.for_client(streamed(PLAIN, *fragments))) == fragments


def test_names_inside_values_are_left_alone():
    whole = '{"a_1": {"a_1": "a_1"}, "b": ["a_1"]}'
    (said,) = fragments_in(translator().for_client(streamed(ODD, whole)))
    assert json.loads(said) == {"$a": {"a_1": "a_1"}, "b": ["a_1"]}


def test_arguments_that_are_cut_short_are_passed_on_as_they_are():
    calls = translator()
    assert fragments_in(calls.for_client(streamed(ODD, '{"a_1": ', "1"))) == [
        '{"a_1": 1'
    ]
    assert fragments_in(calls.for_client(streamed(ODD))) == []


def test_an_answer_that_begins_anew_forgets_what_was_held():
    calls = translator()
    calls.for_client(streamed(ODD, '{"a_1"', ends=False))
    again = [StreamEvent(MessageStart(ApiMessage())), *streamed(ODD, '{"a_1": 1}')]
    assert fragments_in(calls.for_client(again)[1:]) == ['{"$a":1}']


def test_calls_go_there_and_back():
    block = {"type": "tool_use", "id": "c", "name": ODD, "input": {"$a": 1, "b": 2}}
    calls = translator()
    (told,) = calls.for_model([block])
    assert told["input"] == {"a_1": 1, "b": 2}
    (said,) = calls.for_client([Assistant(ApiMessage(content=[told]))])
    assert said.message.content == [block]
