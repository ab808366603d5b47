"""Long texts where short ones belong: they are refused, and not told again."""

from __future__ import annotations

import pytest

from claude_nb_gateway.errors import InvalidRequest, quoted

from .apis import error_of, post, send

LONG = 200_000
#: An error that quotes so much of what was sent is still read.
MOST_SAID = 1_000


def function(name):
    return {"type": "function", "function": {"name": name}}


def test_what_is_quoted_is_cut():
    assert quoted("x" * 100) == repr("x" * 100)
    assert quoted("x" * 101) == repr("x" * 100 + "…")


def test_error_is_no_longer_than_is_good_for_its_reader():
    error = InvalidRequest("m" * LONG, param="p" * LONG)
    assert len(error.message) == len(error.param) < 5_000


@pytest.mark.parametrize("character", ["x", "\x7f"])
@pytest.mark.parametrize(
    ("api", "fields"),
    [
        ("chat/completions", lambda t: {"messages": [{"role": t, "content": "x"}]}),
        ("chat/completions", lambda t: {"session_id": t}),
        ("chat/completions", lambda t: {"project_id": t}),
        ("chat/completions", lambda t: {"tools": [function(t), function(t)]}),
        ("chat/completions", lambda t: {"tool_choice": function(t)}),
        ("chat/completions", lambda t: {"reasoning_effort": t}),
        ("messages", lambda t: {"messages": [{"role": t, "content": "x"}]}),
        ("messages", lambda t: {"tools": [{"name": "f", "type": t}]}),
        ("messages", lambda t: {"tool_choice": {"type": "tool", "name": t}}),
        ("responses", lambda t: {"previous_response_id": t}),
        ("responses", lambda t: {"input": [{"type": t}]}),
        ("responses", lambda t: {"input": [{"type": "item_reference", "id": t}]}),
        ("responses", lambda t: {"tools": [{"type": t}]}),
        ("responses", lambda t: {"include": [t]}),
        ("responses", lambda t: {"tool_choice": {"type": "function", "name": t}}),
    ],
)
def test_long_text_is_refused_and_not_told_again(gateway, api, fields, character):
    answer = post(gateway, api, **{"model": "sonnet", **fields(character * LONG)})
    assert answer.status_code in (400, 404), answer.text
    assert len(error_of(answer)[0]) < MOST_SAID


@pytest.mark.parametrize("path", ["/nothing/", "/sessions/", "/responses/"])
def test_long_path_is_not_told_again(gateway, path):
    answer = send(gateway, path + "x" * 20_000, method="GET")
    assert answer.status_code == 404
    assert len(error_of(answer)[0]) < MOST_SAID


@pytest.mark.parametrize(
    ("api", "field", "fields"),
    [
        ("chat/completions", "session_id", lambda t: {"session_id": t}),
        (
            "chat/completions",
            "tools[0].function.name",
            lambda t: {"tools": [function(t)]},
        ),
        (
            "chat/completions",
            "tool_choice.function.name",
            lambda t: {"tool_choice": function(t)},
        ),
        ("messages", "tools[0].name", lambda t: {"tools": [{"name": t}]}),
        ("responses", "previous_response_id", lambda t: {"previous_response_id": t}),
        (
            "responses",
            "tools[0].name",
            lambda t: {"tools": [{"type": "function", "name": t}]},
        ),
    ],
)
def test_length_of_names_is_bounded(gateway, api, field, fields):
    answer = post(gateway, api, **{"model": "sonnet", **fields("x" * 513)})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)[0] == f"`{field}`: Expected `str` of length <= 512."


def test_project_is_named_by_no_more_than_a_path(gateway):
    answer = post(gateway, "chat/completions", project_id="x" * 4_097)
    assert answer.status_code == 400
    assert error_of(answer)[0] == "`project_id`: Expected `str` of length <= 4096."
