from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.profile import Profile
from claude_nb_gateway.claude_code.turns import (
    Conversation,
    Setup,
    Turn,
    digest_after,
    digest_waiting,
)


def text(words):
    return {"type": "text", "text": words}


def use(tool_use_id="toolu_1", **arguments):
    return {"type": "tool_use", "id": tool_use_id, "name": "f", "input": arguments}


def result(tool_use_id="toolu_1", words="rain"):
    content = [text(words)] if words else []
    return {"type": "tool_result", "tool_use_id": tool_use_id, "content": content}


def conversation(answer, question):
    history = (Turn("user", [text("q")]), Turn("assistant", answer))
    return Conversation(Setup("sonnet"), history, question)


def asked():
    return Conversation(Setup("sonnet"), (), [text("q")]).digests()[-1]


@pytest.mark.parametrize(
    "echo",
    [
        [text("Well. "), use(a=1, b=2)],
        [text("We"), text("ll."), use(b=2, a=1)],
    ],
)
def test_session_that_waits_is_found_however_the_calls_are_written(echo):
    waiting = digest_waiting(digest_after(asked(), [text("Well."), use(a=1, b=2)]))
    assert conversation(echo, [result()]).held_by()[-1] == waiting


@pytest.mark.parametrize(
    "question",
    [
        [result(), text("and more")],
        [result("toolu_2")],
        [result(words="")],
        [text("never mind")],
    ],
)
def test_session_that_waits_takes_only_the_results_of_its_calls(question):
    waiting = digest_waiting(digest_after(asked(), [use()]))
    assert waiting not in conversation([use()], question).held_by()


@pytest.mark.parametrize("other", [use(a=2), use("toolu_9", a=1)])
def test_other_calls_are_another_conversation(other):
    held = digest_after(asked(), [use(a=1)])
    assert digest_after(asked(), [other]) != held


@pytest.mark.parametrize(
    "other",
    [
        {"trusted": True},
        {"personal": True},
        {"user_memory": True},
        {"tools": ("Read", "Bash")},
        {"allowed": ("Bash",)},
        {"permission_mode": "plan"},
        {"directory_id": "1:2"},
    ],
)
def test_process_with_other_rights_is_never_gone_on_with(other):
    held = [
        Conversation(Setup("sonnet", profile=profile), (), [text("q")]).digests()
        for profile in (
            Profile("/d", tools=("Read",)),
            Profile("/d", **{"tools": ("Read",), **other}),
        )
    ]
    assert held[0] != held[1]
