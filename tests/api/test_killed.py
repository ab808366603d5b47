"""What a client sees when its CLI process is killed in mid-turn."""

from __future__ import annotations

import threading

import openai
import pytest

from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of


@pytest.fixture(scope="module")
def only_one(model_server, tmp_path_factory):
    """A gateway with room for one process, so that it is known which one asks."""
    options = ("--CLIManager.max_processes=1", "--CLIManager.spare_processes=0")
    directory = tmp_path_factory.mktemp("killed")
    with running_gateway(directory, model_server.url, *options) as gateway:
        yield gateway


@pytest.fixture
def small(only_one, model):
    """The same, with a model that is told nothing yet."""
    return only_one


def kill(gateway):
    (process,) = gateway.cli_processes
    process.kill()
    return process


def ask(client, **options):
    question = {"role": "user", "content": "hi"}
    return client.chat.completions.create(
        model="sonnet", messages=[question], **options
    )


@pytest.mark.soak
def test_after_the_first_words_the_client_is_told(small, model):
    model.script(Reply(["a "], hang="after"))
    with client_of(small) as client:
        stream = ask(client, stream=True)
        with pytest.raises(openai.APIError, match="Claude Code CLI"):
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    kill(small)
        assert ask(client).choices[0].message.content == "hi"
    assert len(small.cli_processes) == 1


@pytest.mark.soak
@pytest.mark.parametrize("stream", [True, False])
def test_before_the_first_words_the_request_is_served_all_the_same(
    small, model, stream
):
    model.script(Reply(hang="before"), Reply(["served"]))

    def kill_the_first():
        model.wait_for_request()
        kill(small)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with client_of(small) as client:
        answer = ask(client, stream=stream)
        if stream:
            words = [c.choices[0].delta.content or "" for c in answer]
            assert "".join(words) == "served"
        else:
            assert answer.choices[0].message.content == "served"
    killer.join()
    assert len(small.cli_processes) == 1
