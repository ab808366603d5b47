from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from claude_nb_gateway.demo.model import Reply

from ..conftest import client_of

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)


def content(completion):
    return completion.choices[0].message.content


def streamed(chunks):
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    return "".join(delta.content or "" for delta in deltas)


def test_whole_answer(ask, model):
    model.script(Reply(["Hello ", "world"], model="claude-really-1"))
    completion = ask("hi")
    assert content(completion) == "Hello world"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "claude-really-1"
    assert completion.object == "chat.completion"


def test_streamed_answer_is_the_same(ask, model):
    model.script(Reply(["Hello ", "world"], model="claude-really-1"))
    chunks = list(ask("hi", stream=True))
    assert streamed(chunks) == "Hello world"
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.model for chunk in chunks} == {"claude-really-1"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_async_client(gateway, model):
    async def main():
        options = {"base_url": gateway.base_url, "api_key": gateway.key}
        async with openai.AsyncOpenAI(**options) as client:
            messages = [{"role": "user", "content": "a b c"}]
            stream = await client.chat.completions.create(
                model="sonnet", messages=messages, stream=True
            )
            return streamed([chunk async for chunk in stream])

    assert asyncio.run(main()) == "a b c"


def test_parameters_without_effect_are_reported_in_a_header(client):
    response = client.chat.completions.with_raw_response.create(
        model="sonnet",
        messages=[{"role": "user", "content": "hi"}],
        temperature=0.1,
        seed=7,
    )
    assert response.headers["x-ignored-parameters"] == "temperature, seed"
    assert content(response.parse()) == "hi"


@pytest.mark.soak
def test_every_delta_comes_as_it_is_made(ask, model):
    model.script(Reply([f"{i} " for i in range(20)], delay_seconds=0.1))
    arrivals = []
    for chunk in ask("count", stream=True):
        if chunk.choices[0].delta.content:
            arrivals.append(time.monotonic())
    assert len(arrivals) >= 18
    assert arrivals[0] - model.requests[0].first_delta < 0.3
    assert arrivals[-1] - arrivals[0] > 1.5


@pytest.mark.parametrize("name", ["sonnet", "claude-sonnet-4-20250514"])
def test_history_reaches_the_model_as_turns(ask, model, name):
    history = [
        ("user", "first question"),
        ("assistant", "first answer"),
        ("user", "second question"),
        ("assistant", "second answer"),
        ("user", "third question"),
    ]
    ask(*history, model=name)
    (request,) = model.requests
    assert request.turns == history


def test_system_prompt_reaches_the_model(ask, model):
    ask(("system", "Speak like a pirate."), ("developer", "Be brief."), "hi")
    (request,) = model.requests
    assert "Speak like a pirate." in request.system
    assert "Be brief." in request.system
    assert request.turns == [("user", "hi")]


def test_two_user_messages_are_one_turn_of_blocks(ask, model):
    ask("one", "two")
    (turn,) = model.requests[0].messages
    blocks = [b["text"] for b in turn["content"] if b["type"] == "text"]
    assert blocks[-2:] == ["one", "two"]


def test_hidden_prompt_is_small(ask, model):
    ask("hi")
    body = model.requests[0].body
    told = json.dumps([body["system"], body["messages"], body.get("tools")])
    assert len(told) < 3 * 1024
    assert body.get("tools", []) == []


@pytest.mark.parametrize(
    "text",
    [
        "/clear @/etc/hostname --help",
        "/cost",
        "--help",
        " leading and trailing \n",
        "{braces} $HOME `ls` \\n <tag> \u2028 \x7f",
        "[Request interrupted by user]",
    ],
)
def test_prompt_arrives_verbatim(ask, model, text):
    ask(text)
    assert model.requests[0].turns == [("user", text)]


def test_megabyte_goes_in_and_comes_out(ask, model):
    text = "0123456789abcdef" * 65_536
    model.script(Reply([text[i : i + 4096] for i in range(0, len(text), 4096)]))
    assert content(ask(text)) == text
    assert model.requests[0].turns == [("user", text)]


def test_megabyte_in_one_delta_comes_out(ask, model):
    text = "é" * 2**20
    model.script(Reply([text]))
    assert streamed(ask("hi", stream=True)) == text


def test_emoji_split_over_deltas_comes_out_whole(ask, model):
    family = "👩‍👩‍👧‍👦"
    halves = ["\ud83d", "\ude00", *family]
    model.script(Reply(halves), Reply(halves))
    assert streamed(ask("hi", stream=True)) == "😀" + family
    assert content(ask("hi")) == "😀" + family


def test_image_reaches_the_model(ask, model):
    url = f"data:image/png;base64,{PNG}"
    ask(
        (
            "user",
            [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": url}},
            ],
        )
    )
    (turn,) = model.requests[0].messages
    (image,) = [b for b in turn["content"] if b["type"] == "image"]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    # The CLI keeps a copy of an image that is typed in, and tells the model where.
    assert [b["type"] for b in turn["content"]] == ["text", "image"]


def test_thinking_is_reasoning_content(ask, model):
    model.script(Reply(["42"], thinking=["hm", " well"]))
    message = ask("hi").choices[0].message
    assert message.content == "42"
    assert message.reasoning_content == "hm well"


def test_usage_is_the_models(ask, model):
    usage = {
        "input_tokens": 3,
        "cache_read_input_tokens": 50,
        "cache_creation_input_tokens": 7,
        "output_tokens": 9,
    }
    model.script(Reply(["x"], usage=usage), Reply(["x"], usage=usage))
    whole = ask("hi").usage
    assert (whole.prompt_tokens, whole.completion_tokens) == (60, 9)
    assert whole.total_tokens == 69
    assert whole.prompt_tokens_details.cached_tokens == 50
    options = {"include_usage": True}
    last = list(ask("hi", stream=True, stream_options=options))[-1]
    assert last.choices == []
    assert last.usage == whole


def test_answer_at_the_limit_is_cut_and_not_continued(ask, model):
    model.script(Reply(["cut"], stop_reason="max_tokens"))
    completion = ask("hi", max_tokens=5)
    assert content(completion) == "cut"
    assert completion.choices[0].finish_reason == "length"
    assert model.requests[0].body["max_tokens"] == 5


def test_low_limit_leaves_no_room_to_think(ask, model):
    ask("hi", model="claude-sonnet-4-20250514", max_tokens=100)
    thinking = model.requests[0].body.get("thinking", {})
    assert thinking.get("type") != "enabled"


@pytest.mark.parametrize("stream", [True, False])
def test_stop_cuts_across_deltas_and_ends_the_turn(ask, model, stream):
    model.script(Reply(["one ", "<st", "op> two"], hang="after", delay_seconds=0.05))
    answer = ask("hi", stop=["<stop>", "never"], stream=stream)
    assert (streamed(list(answer)) if stream else content(answer)) == "one "
    assert model.requests[0].abandoned.wait(1)


def test_answer_cut_by_stop_is_remembered_as_the_client_has_it(ask, model):
    model.script(Reply(["one END two"]))
    answer = ask("hi", stop="END")
    assert answer.choices[0].finish_reason == "stop"
    ask("hi", ("assistant", content(answer)), "more", stop="END")
    assert model.requests[1].turns == [
        ("user", "hi"),
        ("assistant", "one "),
        ("user", "more"),
    ]


def test_refusal_is_content_filter(ask, model):
    model.script(Reply(["I"], stop_reason="refusal"))
    assert ask("hi").choices[0].finish_reason == "content_filter"


@contextlib.contextmanager
def bare_connection(gateway, stream, receive_buffer=None):
    """A request sent over a socket, of which nothing is read by itself."""
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}
    data = json.dumps({**body, "stream": stream}).encode()
    url = urlsplit(gateway.base_url)
    head = (
        f"POST {url.path}/chat/completions HTTP/1.0\r\nHost: {url.netloc}\r\n"
        f"Authorization: Bearer {gateway.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.socket() as connection:
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect((url.hostname, url.port))
        connection.sendall(head.encode() + data)
        yield connection


@pytest.mark.soak
def test_what_piles_up_behind_a_slow_client_is_merged(gateway, model):
    deltas = [f"{i:07d} " * 200 for i in range(5_000)]
    model.script(Reply(deltas))
    with bare_connection(gateway, True, receive_buffer=4096) as connection:
        model.wait_for_request()
        assert not model.requests[0].abandoned.wait(2)  # while nobody reads
        answer = connection.makefile("rb").read().decode()
    frames = [json.loads(data) for data in answer.split("data: ")[1:-1]]
    text = "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames)
    assert text == "".join(deltas)
    assert len(frames) < len(deltas)


def streamed_lines(gateway):
    """The lines of a streamed answer, as a client that counts them would."""
    with httpx2.stream(
        "POST",
        f"{gateway.base_url}/chat/completions",
        headers={"Authorization": f"Bearer {gateway.key}"},
        json={
            "model": "sonnet",
            "stream": True,
            "messages": [{"role": "user", "content": "hi"}],
        },
    ) as response:
        return [line for line in response.iter_lines() if line]


def test_unusual_line_breaks_do_not_cut_an_event(gateway, model):
    text = "a\x85b\u2028c\u2029d\x0be"
    model.script(Reply([text]))
    lines = streamed_lines(gateway)
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert chunks[1]["choices"][0]["delta"]["content"] == text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("hang", ["before", "after"])
def test_client_gone_interrupts_the_turn(gateway, model, stream, hang):
    model.script(Reply(["a"], hang=hang))
    with bare_connection(gateway, stream):
        model.wait_for_request()
    assert model.requests[0].abandoned.wait(1)
    assert not [line for line in gateway.log if "Traceback" in line]


ERRORS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.mark.parametrize("stream", [True, pytest.param(False, marks=pytest.mark.soak)])
@pytest.mark.parametrize("status", ERRORS)
def test_upstream_error_is_the_right_exception(ask, model, status, stream):
    model.responder = lambda request: Reply(status=status, message="it is said")
    with pytest.raises(ERRORS[status]) as error:
        ask("hi", stream=stream)
    # To try again is the client's business. (At 400 and 404 the CLI asks otherwise.)
    assert status in (400, 404) or len(model.requests) == 1
    assert error.value.body.keys() == {"message", "type", "param", "code"}
    assert "127.0.0.1" not in error.value.message
    if error.value.status_code in (429, 503):
        assert int(error.value.response.headers["retry-after"]) > 0


def test_drop_in_mid_stream_is_an_error_in_the_stream(ask, model):
    model.script(Reply(["a", "b", "c"], drop_after=2, delay_seconds=0.05))
    seen = []
    with pytest.raises(openai.APIError, match="broke off"):
        for chunk in ask("hi", stream=True):
            seen.append(chunk)
    assert streamed(seen) == "ab"
    assert all(chunk.choices[0].finish_reason is None for chunk in seen)


def test_stream_that_fails_is_still_ended(gateway, model):
    model.script(Reply(["a", "b"], drop_after=1, delay_seconds=0.05))
    frames = streamed_lines(gateway)
    assert "error" in json.loads(frames[-2].removeprefix("data: "))
    assert frames[-1] == "data: [DONE]"


def test_drop_in_an_answer_that_is_not_streamed(ask, model):
    model.script(Reply(["a", "b", "c"], drop_after=2))
    with pytest.raises(openai.InternalServerError):
        ask("hi")


def test_drop_before_the_first_token(ask, model):
    model.script(Reply(["a"], drop_after=0))
    with pytest.raises(openai.APIError):
        list(ask("hi", stream=True))


def test_too_long_a_prompt_is_a_bad_request(ask, model):
    error = Reply(
        status=400,
        error_type="invalid_request_error",
        message="prompt is too long: 300000 tokens > 200000 maximum",
    )
    model.responder = lambda request: error
    with pytest.raises(openai.BadRequestError) as raised:
        ask("hi")
    assert raised.value.code == "context_length_exceeded"


def test_unknown_model_is_not_found(ask, model):
    with pytest.raises(openai.NotFoundError, match="sonnet") as error:
        ask("hi", model="gpt-4o")
    assert error.value.code == "model_not_found"
    assert model.requests == []


def test_wrong_field_is_named(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="sonnet", messages=[{"role": "x"}])
    assert error.value.param == "messages[0].role"


@pytest.mark.soak
def test_client_with_retries_gets_its_answer(gateway, model):
    model.script(Reply(status=529, error_type="overloaded_error"))
    with client_of(gateway, max_retries=1) as client:
        completion = client.chat.completions.create(
            model="sonnet", messages=[{"role": "user", "content": "hi"}]
        )
    assert content(completion) == "hi"


@pytest.mark.soak
@pytest.mark.parametrize("stream", [True, False])
def test_every_answer_names_its_request(client, stream):
    def ask(**options):
        return client.chat.completions.with_raw_response.create(
            model="sonnet",
            messages=[{"role": "user", "content": "hi"}],
            stream=stream,
            **options,
        ).headers

    made_up = ask()
    assert made_up["x-request-id"].startswith("req_")
    assert int(made_up["openai-processing-ms"]) >= 0
    assert ask(extra_headers={"X-Request-Id": "mine 1"})["x-request-id"] == "mine 1"
    too_long = ask(extra_headers={"X-Request-Id": "x" * 513})
    assert too_long["x-request-id"].startswith("req_")


def test_an_error_names_its_request_too(ask):
    with pytest.raises(openai.BadRequestError) as error:
        ask("hi", n=2, extra_headers={"X-Request-Id": "mine"})
    assert error.value.request_id == "mine"
    assert error.value.response.headers["openai-processing-ms"]
