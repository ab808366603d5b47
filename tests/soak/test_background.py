"""A model that starts work in the background whenever it likes."""

from __future__ import annotations

import itertools
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from claude_nb_gateway.demo.model import Reply, ToolUse
from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

CONVERSATIONS = 200
TURNS = 3
OPTIONS = (
    "--Projects.permission_mode=bypassPermissions",
    "--Projects.trusted_projects=work",
    "--CLIManager.max_processes=6",
    "--CLIManager.queue_timeout_seconds=120",
    '--CLIManager.cli_env={"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "0", '
    '"IS_SANDBOX": "1"}',
)


class Unruly:
    """Answers each question by its number, and sometimes begins something else."""

    def __init__(self):
        self.dice = random.Random(7)
        self.ids = itertools.count()
        self.begun = 0

    def __call__(self, request):
        last = json.dumps(request.messages[-1])
        # Where a session is resumed, what has ended is told with the next question.
        if "<task-notification>" in last and "question " not in last:
            return Reply(["nobody asked"], first_delay_seconds=self.dice.random() / 4)
        asked = re.findall(r"question \d+-\d+", json.dumps(request.messages))
        if not asked:
            return Reply(["work of an agent"])
        if '"tool_result"' not in last and self.dice.random() < 0.5:
            self.begun += 1
            return Reply(tool_uses=[self.work()])
        return Reply([asked[-1].replace("question", "answer")])

    def work(self):
        if self.dice.random() < 0.5:
            name, what = "Bash", {"command": f"sleep {self.dice.random() / 2:.2f}"}
        else:
            name, what = "Agent", {"description": "work", "prompt": "work"}
        what["run_in_background"] = True
        return ToolUse(name, (json.dumps(what),), id=f"toolu_{next(self.ids)}")


def test_every_answer_is_that_of_its_question(tmp_path, model):
    (tmp_path / "work").mkdir()
    model.responder = unruly = Unruly()
    with (
        running_gateway(tmp_path, model.url, *OPTIONS) as gateway,
        client_of(gateway, timeout=200) as client,
        ThreadPoolExecutor(4) as pool,
    ):

        def talk(number):
            messages = []
            for turn in range(TURNS):
                question = f"question {number}-{turn}"
                messages.append({"role": "user", "content": question})
                answer = client.chat.completions.create(
                    model="sonnet",
                    messages=messages,
                    extra_headers={"X-Claude-Project": "work"},
                )
                said = answer.choices[0].message.content
                messages.append({"role": "assistant", "content": said})
            return [m["content"] for m in messages if m["role"] == "assistant"]

        for number, said in enumerate(pool.map(talk, range(CONVERSATIONS))):
            assert said == [f"answer {number}-{turn}" for turn in range(TURNS)]
    assert unruly.begun > CONVERSATIONS
