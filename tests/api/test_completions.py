from __future__ import annotations

import openai
import pytest

from claude_nb_gateway.demo.model import Reply

from ..conftest import client_of


@pytest.fixture
def complete(client):
    def complete(prompt="hello", **options):
        return client.completions.create(model="sonnet", prompt=prompt, **options)

    return complete


@pytest.mark.parametrize("prompt", ["hello", ["hello"]])
def test_prompt_is_answered(complete, model, prompt):
    model.script(Reply(["Good ", "day"]))
    completion = complete(prompt)
    assert completion.object == "text_completion"
    assert completion.choices[0].text == "Good day"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.prompt_tokens == 10


def test_answer_is_streamed(gateway, model):
    model.script(Reply(["Good ", "day"]))
    # The types allow no null as the reason, but that is what OpenAI sends till then.
    with client_of(gateway, _strict_response_validation=False) as client:
        stream = client.completions.create(
            model="sonnet",
            prompt="hello",
            stream=True,
            stream_options={"include_usage": True},
        )
        pieces = list(stream)
    texts = [piece.choices[0].text for piece in pieces if piece.choices]
    assert texts == ["Good ", "day", ""]
    assert pieces[-2].choices[0].finish_reason == "stop"
    assert pieces[-1].usage.prompt_tokens == 10


def test_stop_and_limit_cut_the_answer(complete, model):
    model.script(Reply(["one ", "two"]), Reply(["cut"], stop_reason="max_tokens"))
    assert complete(stop="two").choices[0].text == "one "
    assert complete(max_tokens=1).choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt[0]"),
        ({"prompt": ""}, "prompt"),
        ({"n": 2}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 2}, "logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_what_cannot_be_honoured_names_its_field(complete, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        complete(**options)
    assert error.value.param == param


def test_too_long_a_prompt_names_the_prompt(complete, model):
    message = "prompt is too long: 300000 tokens > 200000 maximum"
    model.responder = lambda request: Reply(status=400, message=message)
    with pytest.raises(openai.BadRequestError, match="Shorten `prompt`") as error:
        complete()
    assert error.value.param == "prompt"
    assert error.value.code == "context_length_exceeded"
