from __future__ import annotations

import json

import pytest

from claude_nb_gateway.api.bounds import MOST_VALUES, check_values
from claude_nb_gateway.errors import InvalidRequest

MANY = MOST_VALUES + 1


@pytest.mark.parametrize(
    "body",
    [
        {"text": '{"a": [1, 2]}, \\' * 100_000},
        {"text": "a,b" * 1_000_000, "other": ["x"] * 70_000},
        {"data": "A" * 20_000_000},
        {"messages": [{"role": "user", "content": "\\"}] * 40_000},
    ],
)
def test_text_may_have_any_length(body):
    check_values(json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        [0] * MANY,
        [{}] * MANY,
        [[]] * MANY,
        [[[[]]]] * (MANY // 2),
        ["\\"] * MANY,
        ['"'] * MANY,
        [""] * 5 * MANY,
        {str(n): 0 for n in range(MANY)},
    ],
    ids=[
        "numbers",
        "objects",
        "arrays",
        "nested",
        "backslashes",
        "quotes",
        "empty",
        "members",
    ],
)
def test_values_are_counted_before_they_are_read(body):
    with pytest.raises(InvalidRequest) as error:
        check_values(json.dumps(body, separators=(",", ":")).encode())
    assert error.value.code == "too_many_values"
