from __future__ import annotations

from types import SimpleNamespace

import pytest

from claude_nb_gateway.notebook import display
from claude_nb_gateway.notebook.client import Answer
from claude_nb_gateway.notebook.display import (
    THINKING,
    PrintedOutput,
    SingleOutput,
    UpdatedOutput,
    output_for,
)

NEVER = 1e-6  # updates in a second
KERNEL = SimpleNamespace(kernel=None)


@pytest.fixture
def drawn(monkeypatch):
    """Texts and metadata in the order in which they are displayed."""
    drawn = []

    def draw(bundle, *, raw, display_id=False, metadata=None):
        assert raw
        assert bundle["text/plain"] == bundle["text/markdown"]
        drawn.append((bundle["text/markdown"], metadata))
        return SimpleNamespace(update=draw)

    monkeypatch.setattr(display, "display", draw)
    return drawn


def texts(drawn):
    return [text for text, _ in drawn]


def test_output_is_one_that_the_shell_supports(monkeypatch):
    assert isinstance(output_for(SimpleNamespace(), 10), PrintedOutput)
    assert isinstance(output_for(KERNEL, 10), SingleOutput)  # as in nbval's kernels
    monkeypatch.delenv("PYTEST_VERSION")
    assert isinstance(output_for(KERNEL, 10), UpdatedOutput)
    assert isinstance(output_for(KERNEL, 0), SingleOutput)


def test_printed_is_what_is_new(capsys):
    output = PrintedOutput()
    for text in ("a", "a", "a b"):
        output.show(Answer(text))
    assert capsys.readouterr().out == "a b"
    output.finish(Answer("a b c"))
    assert capsys.readouterr().out == " c\n"


def test_nothing_is_printed_of_an_answer_without_text(capsys):
    PrintedOutput().finish(Answer())
    assert capsys.readouterr().out == ""


def test_single_output_is_the_whole_answer(drawn):
    output = SingleOutput()
    output.show(Answer("a"))
    assert drawn == []
    output.finish(Answer("a b", model="sonnet", session="s", cost_usd=0.5))
    ((text, metadata),) = drawn
    assert text == "a b"
    told = {"model": "sonnet", "session": "s", "usage": {}, "cost_usd": 0.5}
    assert metadata == {"claude": told}


def test_first_words_are_drawn_at_once_and_the_last_at_the_end(drawn):
    output = UpdatedOutput(NEVER)
    for text in ("a", "a b", "a b c"):
        output.show(Answer(text))
    assert texts(drawn) == ["a"]
    output.finish(Answer("a b c d"))
    assert texts(drawn) == ["a", "a b c d"]


def test_what_is_not_new_is_not_drawn_again(drawn):
    output = UpdatedOutput(1e9)
    for text in ("", "a", "a", "a b"):
        output.show(Answer(text))
    output.finish(Answer("a b"))
    assert texts(drawn) == ["a", "a b", "a b"]
    assert [metadata is None for _, metadata in drawn] == [True, True, False]


def test_thinking_is_replaced_by_the_answer(drawn):
    output = UpdatedOutput(1e9)
    output.show(Answer(thinking=True))
    output.finish(Answer())
    assert texts(drawn) == [THINKING, ""]


@pytest.mark.parametrize("output", [UpdatedOutput(10), SingleOutput()])
def test_answer_without_a_word_leaves_no_output(drawn, output):
    output.show(Answer())
    output.finish(Answer())
    assert drawn == []
