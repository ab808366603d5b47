from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from claude_nb_gateway.notebook.arguments import (
    Arguments,
    keep_question,
    parse_cell,
    parse_line,
)


@pytest.mark.parametrize(
    "body",
    [
        "{'a': 1}",
        "$HOME and ${HOME}",
        "{{x}}",
        "!ls",
        "%time",
        "  leading spaces",
        "two\n\nparagraphs\n",
        "x" * 200_000,
        "# a comment\n# NBVAL in words",
    ],
)
def test_body_is_taken_as_typed(body):
    assert parse_cell("", body + "\n").prompt == body


@pytest.mark.parametrize("body", ["", "\n", "   \n", "# NBVAL_SKIP\n"])
def test_body_of_nothing_is_a_usage_error(body):
    with pytest.raises(UsageError, match="needs a prompt"):
        parse_cell("", body)


def test_nbval_markers_are_not_for_the_model():
    body = "# NBVAL_IGNORE_OUTPUT\nhello\n#NBVAL_RAISES_EXCEPTION\nworld\n"
    assert parse_cell("", body).prompt == "hello\nworld"


@pytest.mark.parametrize(
    "line",
    [
        '--model opus --system "a b" --new',
        "-m opus -s 'a b' -n",
        '--new --model=opus --system="a b"',
    ],
)
def test_options(line):
    expected = Arguments("hi", model="opus", system="a b", new=True)
    assert parse_cell(line, "hi\n") == expected
    assert parse_line(line + " hi") == expected


def test_rest_of_the_line_is_verbatim():
    prompt = 'it\'s {x}  $HOME "quoted" --new # no comment'
    assert parse_line(f"-m opus {prompt}") == Arguments(prompt, model="opus")


@pytest.mark.parametrize("line", ["--bad x", "-x", "--model", "--system", '-s "a', "-"])
def test_wrong_options_are_usage_errors(line):
    with pytest.raises(UsageError):
        parse_cell(line, "hi\n")


def test_prompt_on_the_wrong_line_is_a_usage_error():
    with pytest.raises(UsageError, match="lines below"):
        parse_cell("hello there", "hi\n")


def test_question_mark_at_the_end_is_not_a_request_for_help():
    (line,) = keep_question(["%claude -n what's up?\n"])
    assert line == """get_ipython().run_line_magic('claude', "-n what's up?")\n"""


@pytest.mark.parametrize(
    "lines",
    [["%claude?\n"], ["%%claude\n", "why?\n"], ["%time f?\n"], ["x\n"] * 2, []],
)
def test_other_cells_are_left_alone(lines):
    assert keep_question(lines) == lines
