"""The CLI is an agent: it begins turns by itself, and those are nobody's answer."""

from __future__ import annotations

import json
import uuid

import pytest

from claude_nb_gateway.claude_code.profile import Profile
from claude_nb_gateway.claude_code.turns import Conversation, Setup
from claude_nb_gateway.demo.model import Reply, ToolUse

from ..conftest import events_of, text_of, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("cli_environment")]

# What an operator can set; by default there is no work in the background.
IN_THE_BACKGROUND = {"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "0", "IS_SANDBOX": "1"}

FORGET = json.dumps({"command": "sleep 0.2", "run_in_background": True})


def is_notice(request):
    """Whether the CLI asks since work in the background has ended."""
    return "<task-notification>" in json.dumps(request.messages[-1])


def working_in_the_background(request):
    """A model that starts a command at the word "start", and answers else."""
    last = request.turns[-1][1]
    if is_notice(request):
        return Reply(["nobody asked for this"], first_delay_seconds=0.3)
    if last == "start":
        return Reply(tool_uses=[ToolUse("Bash", (FORGET,), id=str(uuid.uuid4()))])
    return Reply([f"answer to {last}" if last else "started"])


@pytest.fixture
def worker(model):
    model.responder = working_in_the_background
    return model


@pytest.fixture
def ask(make, tmp_path):
    """Ask in one session of a project, whose tools need no leave."""
    session_id = str(uuid.uuid4())
    profile = Profile(
        directory=str(tmp_path),
        trusted=True,
        permission_mode="bypassPermissions",
        tools=("Bash",),
    )

    async def ask(manager, text, account_to=None):
        question = [{"type": "text", "text": text}]
        setup = Setup("sonnet", profile=profile)
        asked = Conversation(setup, (), question, session_id=session_id)
        return text_of(await events_of(manager, asked, account_to=account_to))

    return ask


def notified(model):
    """Whether the CLI has begun the turn that nobody asked for."""
    return any(map(is_notice, list(model.requests)))


@pytest.mark.soak
async def test_answer_is_that_of_its_question_while_a_turn_of_the_clis_runs(
    make, worker, ask
):
    manager = make(cli_env=IN_THE_BACKGROUND)
    assert await ask(manager, "start") == "started"
    await until(lambda: notified(worker))
    answers = [await ask(manager, f"question {n}") for n in range(3)]
    assert answers == [f"answer to question {n}" for n in range(3)]


async def test_answer_is_that_of_its_question_after_a_turn_of_the_clis(
    make, worker, ask
):
    manager = make(cli_env=IN_THE_BACKGROUND)
    accounts = []
    await ask(manager, "start", accounts.append)
    await until(lambda: [a.outcome for a in accounts] == ["completed", "unasked"])
    answers = [await ask(manager, f"question {n}", accounts.append) for n in range(3)]
    assert answers == [f"answer to question {n}" for n in range(3)]
    (_, unasked, *later) = accounts
    assert unasked.usage.output_tokens == 1
    assert {account.usage.output_tokens for account in later} == {1}


@pytest.mark.soak
async def test_what_a_turn_of_the_clis_said_stays_in_the_session(make, worker, ask):
    manager = make(cli_env=IN_THE_BACKGROUND)
    accounts = []
    await ask(manager, "start", accounts.append)
    await until(lambda: len(accounts) == 2)
    await ask(manager, "question")
    said = [text for role, text in worker.requests[-1].turns if role == "assistant"]
    assert said[-1] == "nobody asked for this"


@pytest.mark.soak
async def test_by_default_there_is_no_work_in_the_background(make, worker, ask):
    manager = make(cli_env={"IS_SANDBOX": "1"})
    assert await ask(manager, "start") == "started"
    (bash,) = (t for t in worker.requests[0].body["tools"] if t["name"] == "Bash")
    assert "run_in_background" not in bash["input_schema"]["properties"]
