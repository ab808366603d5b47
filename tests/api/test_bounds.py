from __future__ import annotations

import json
import uuid

import pytest

from claude_nb_gateway.api.base import MOST_RESOURCE_BYTES
from claude_nb_gateway.api.bounds import MOST_VALUES, check_values
from claude_nb_gateway.errors import InvalidRequest

from .apis import error_of, send

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


RESOURCES = [
    ("POST", "/projects"),
    ("PATCH", "/projects/p"),
    ("POST", "/sessions"),
    ("PATCH", f"/sessions/{uuid.UUID(int=1)}"),
    ("POST", f"/sessions/{uuid.UUID(int=1)}/fork"),
]


@pytest.mark.parametrize(("method", "path"), RESOURCES)
def test_bodies_about_what_is_kept_are_bounded(gateway, method, path):
    body = json.dumps({"title": "x" * MOST_RESOURCE_BYTES, "path": "p"}).encode()
    answer = send(gateway, path, body, method)
    message, _, code = error_of(answer)
    assert (answer.status_code, code) == (413, "request_too_large")
    assert (
        message == f"The request is larger than {MOST_RESOURCE_BYTES} bytes. Send less."
    )


@pytest.mark.parametrize(("method", "path"), RESOURCES)
def test_values_of_what_is_kept_are_counted_too(gateway, method, path):
    body = json.dumps({"title": "t", "path": "p", "other": [0] * MANY}).encode()
    answer = send(gateway, path, body, method)
    assert (answer.status_code, error_of(answer)[2]) == (400, "too_many_values")


def test_longest_system_prompt_of_a_session_fits(gateway):
    body = json.dumps({"system": "é" * 200_000}).encode()
    assert send(gateway, "/sessions", body).status_code == 200
