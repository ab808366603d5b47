from __future__ import annotations

import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.responses.compaction import (
    decode_compact_request,
    divided,
)


def part(text):
    return {"type": "input_text", "text": text}


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("content", ["Be brief.", [part("Be brief.")]])
def test_orders_are_kept_with_their_ids(role, content):
    item = {"role": role, "id": "msg_1", "content": content}
    ((kept,), others) = divided([item])
    assert others == []
    assert (kept.id, kept.role) == ("msg_1", role)
    assert [text.text for text in kept.content] == ["Be brief."]


def test_order_without_an_id_gets_one_of_its_own():
    kept, _ = divided([{"role": "system", "content": "x"}] * 2)
    assert all(message.id.startswith("msg_") for message in kept)
    assert kept[0].id != kept[1].id


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
        {"role": "system"},
        {"role": "system", "content": [part("look"), {"type": "input_image"}]},
        {"role": "system", "content": [part(None)]},
        {"role": "system", "content": ["x"]},
    ],
)
def test_all_that_is_no_order_in_words_is_made_short(item):
    assert divided([item]) == ([], [item])


@pytest.mark.parametrize("body", [b"{}", b'{"model": ""}', b'{"model": null}'])
def test_who_makes_the_summary_must_be_named(body):
    with pytest.raises(InvalidRequest, match="model") as error:
        decode_compact_request(body)
    assert error.value.param == "model"
