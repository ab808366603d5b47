"""The Messages API, by Anthropic's own client, against the real CLI."""

from __future__ import annotations

import base64

import anthropic
import pytest
from anthropic.types import Message

from claude_nb_gateway.demo.model import Reply

from .test_tools import call, sessions, tool_results

WEATHER = {
    "name": "get_weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF").decode()


@pytest.fixture
def claude(gateway):
    with anthropic.Anthropic(
        base_url=gateway.base_url.removesuffix("/v1"),
        api_key=gateway.key,
        max_retries=0,
        timeout=30,
        _strict_response_validation=True,
    ) as claude:
        yield claude


@pytest.fixture
def create(claude):
    def create(*messages, **options):
        options = {"max_tokens": 1_000, **options}
        return claude.messages.create(
            model="sonnet",
            messages=[
                user(message) if isinstance(message, str) else message
                for message in messages
            ],
            **options,
        )

    return create


def user(content):
    return {"role": "user", "content": content}


def echoed(message):
    return {"role": "assistant", "content": message.content}


def test_text_is_answered(create, model):
    usage = {"cache_read_input_tokens": 5, "output_tokens": 2}
    model.script(Reply(["Good ", "day"], usage=usage))
    message = create("hello", system="Be kind.")
    assert [block.text for block in message.content] == ["Good day"]
    assert message.stop_reason == "end_turn"
    assert message.model == "claude-sonnet-5-5"
    assert message.usage.input_tokens == 10
    assert message.usage.cache_read_input_tokens == 5
    assert message.usage.output_tokens == 2
    assert "Be kind." in model.requests[0].system


def test_events_are_anthropics(create, model):
    model.script(Reply(["Good ", "day"]))
    events = list(create("hello", stream=True))
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0].message.content == []
    assert events[0].message.usage.input_tokens == 10
    assert events[-2].delta.stop_reason == "end_turn"


def test_the_helper_for_streams_follows(claude, model):
    model.script(Reply(["Good ", "day"], tool_uses=[call()]))
    with claude.messages.stream(
        model="sonnet", max_tokens=100, messages=[user("?")], tools=[WEATHER]
    ) as stream:
        assert "".join(stream.text_stream) == "Good day"
        message = stream.get_final_message()
    assert message.content[1].input == {"city": "Oslo"}
    assert message.content[1].name == "get_weather"
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize("failed", [None, True])
def test_results_go_on_in_the_process_that_waits(create, model, failed):
    model.script(Reply(tool_uses=[call(1), call(2)]), Reply(["It is cold."]))
    question = user(f"weather {failed}?")
    first = create(question, tools=[WEATHER])
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "-3 C"}
        | ({"is_error": True} if failed else {})
        for block in first.content
    ]
    second = create(question, echoed(first), user(results), tools=[WEATHER])
    assert second.content[0].text == "It is cold."
    told = tool_results(model.requests[1])
    assert [result.get("is_error") for result in told] == [failed] * 2
    assert len(set(sessions(model))) == 1


def test_conversation_goes_on_in_its_process(create, model):
    model.script(Reply(["one"]), Reply(["two"]))
    first = create("a question of its own")
    create("a question of its own", echoed(first), "2")
    assert len(set(sessions(model))) == 1


def test_thoughts_are_shown_to_who_asks(create, model):
    thoughtful = Reply(["Yes."], thinking=["Hm", "m."])
    model.script(thoughtful, thoughtful)
    message = create("q", thinking={"type": "adaptive"})
    assert message.content[0].thinking == "Hmm."
    assert [block.type for block in create("again").content] == ["text"]
    create("q", echoed(message), "and?")
    turns = [turn["content"] for turn in model.requests[-1].messages]
    assert len(turns) == 3


def test_stop_sequence_is_named(create, model):
    model.script(Reply(["one ", "two ", "three"]))
    message = create("count", stop_sequences=["three", "two"])
    assert message.content[0].text == "one "
    assert message.stop_reason == "stop_sequence"
    assert message.stop_sequence == "two"


def test_limit_is_max_tokens(create, model):
    model.script(Reply(["cut"], stop_reason="max_tokens"))
    assert create("q", max_tokens=16).stop_reason == "max_tokens"


def test_images_and_documents_reach_the_model(create, model):
    def base64_source(media_type, data):
        return {"type": "base64", "media_type": media_type, "data": data}

    text = {"type": "text", "media_type": "text/plain", "data": "a text"}
    content = [
        {"type": "image", "source": base64_source("image/png", PNG)},
        {"type": "document", "source": base64_source("application/pdf", PDF)},
        {"type": "document", "source": text, "title": "t"},
        {"type": "text", "text": "what?"},
    ]
    create(user(content))
    (sent,) = (turn["content"] for turn in model.requests[0].messages)
    kinds = [block["type"] for block in sent]
    assert kinds == ["image", "document", "document", "text"]
    assert sent[1]["source"]["data"] == PDF
    assert sent[2]["source"]["data"] == "a text"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool"}])
def test_required_call_is_enforced(create, model, choice):
    if choice["type"] == "tool":
        choice["name"] = "get_weather"
    model.script(Reply(["No."]), Reply(tool_uses=[call()]))
    message = create("q", tools=[WEATHER], tool_choice=choice)
    assert [block.type for block in message.content] == ["tool_use"]


def test_parallel_calls_can_be_switched_off(create, model):
    model.script(Reply(tool_uses=[call(1), call(2)]))
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    message = create("q", tools=[WEATHER], tool_choice=choice)
    assert [block.type for block in message.content] == ["tool_use"]


def test_schema_is_held_to(create, model):
    fragments = ('{"age": ', "36}")
    model.script(Reply(tool_uses=[call(name="StructuredOutput", fragments=fragments)]))
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    output = {"format": {"type": "json_schema", "schema": schema}}
    message = create("q", output_config=output)
    assert message.content[0].text == '{"age": 36}'
    assert message.stop_reason == "end_turn"


def test_tokens_are_counted_without_asking_the_model(claude, model):
    def count(text, **options):
        return claude.messages.count_tokens(
            model="sonnet", messages=[user(text)], **options
        ).input_tokens

    short, long = count("word"), count("word " * 1_000)
    assert 0 < short < 100
    assert 1_000 < long < 3_000
    assert count("word", tools=[WEATHER]) > short
    assert model.requests == []


def test_results_of_tools_that_are_left_out_are_left_out_too(create, model):
    kinds = (
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
    )
    results = [{"type": kind, "tool_use_id": "s", "content": {}} for kind in kinds]
    said = [*results, {"type": "text", "text": "Done."}]
    create(user("run it"), {"role": "assistant", "content": said}, user("and?"))
    assert ("assistant", "Done.") in model.requests[0].turns


def test_what_documents_say_beside_their_content_is_reported(claude, model):
    source = {"type": "text", "media_type": "text/plain", "data": "It rains."}
    document = {
        "type": "document",
        "source": source,
        "context": "a forecast",
        "citations": {"enabled": True},
    }
    response = claude.messages.with_raw_response.create(
        model="sonnet", max_tokens=100, messages=[user([document])]
    )
    assert response.headers["x-ignored-parameters"] == (
        "messages[].content[].context, messages[].content[].citations"
    )


@pytest.mark.parametrize("counts", [True, False])
def test_tool_that_the_cli_leaves_out_is_refused(claude, counts):
    bad = {"name": "bad", "input_schema": {"type": "object", "$anchor": 1}}
    asked = {"model": "sonnet", "messages": [user("q")], "tools": [WEATHER, bad]}
    with pytest.raises(anthropic.BadRequestError, match=r"tools\[1\]\.input_schema"):
        if counts:
            claude.messages.count_tokens(**asked)
        else:
            claude.messages.create(max_tokens=100, **asked)


def test_models_are_listed_in_anthropics_shape(claude):
    models = list(claude.models.list())
    assert "sonnet" in [model.id for model in models]
    assert claude.models.retrieve("sonnet").type == "model"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tools": [{**WEATHER, "name": ""}]}, "tools[0].name"),
        ({"container": "c"}, "container"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
        (
            {"messages": [user([{"type": "search_result"}])]},
            "messages[0].content[0].type",
        ),
        (
            {
                "messages": [
                    user([{"type": "tool_result", "tool_use_id": "x", "content": "r"}])
                ]
            },
            "messages[0].content[0].tool_use_id",
        ),
        (
            {
                "messages": [
                    user(
                        [
                            {
                                "type": "image",
                                "source": {"type": "url", "url": "https://x/"},
                            }
                        ]
                    )
                ]
            },
            "messages[0].content[0].source",
        ),
    ],
)
def test_what_cannot_be_honoured_names_its_field(claude, options, field):
    options = {"messages": [user("q")], "max_tokens": 100, **options}
    with pytest.raises(anthropic.BadRequestError) as error:
        claude.messages.create(model="sonnet", **options)
    assert error.value.body["type"] == "error"
    assert error.value.body["error"]["type"] == "invalid_request_error"
    assert f"`{field}`" in error.value.body["error"]["message"]
    assert error.value.request_id == error.value.body["request_id"]


def test_wrong_key_is_an_authentication_error(claude, create):
    with pytest.raises(anthropic.AuthenticationError) as error:
        claude.with_options(api_key="wrong").messages.create(
            model="sonnet", max_tokens=9, messages=[user("q")]
        )
    assert error.value.body["error"]["type"] == "authentication_error"


def test_failure_of_the_model_keeps_its_status(create, model):
    model.responder = lambda request: Reply(status=429, message="scripted")
    with pytest.raises(anthropic.RateLimitError):
        create("q")


def test_failure_in_mid_stream_is_an_event(create, model):
    model.script(Reply(["some ", "words"], delay_seconds=0.01, drop_after=1))
    with pytest.raises(anthropic.APIStatusError) as error:
        list(create("q", stream=True))
    assert error.value.body["error"]["type"] == "api_error"


def test_answer_has_the_official_shape(claude, model):
    model.script(Reply(["a"], tool_uses=[call()]))
    answer = claude.messages.with_raw_response.create(
        model="sonnet",
        max_tokens=9,
        messages=[user("q")],
        tools=[WEATHER],
        service_tier="auto",
    )
    Message.model_validate_json(answer.http_response.content, strict=True)
    assert answer.headers["x-ignored-parameters"] == "service_tier"


def test_what_is_not_there_is_left_out(claude, model):
    model.script(Reply(["a"], thinking=["b"], tool_uses=[call()]))
    answer = claude.messages.with_raw_response.create(
        model="sonnet",
        max_tokens=9,
        messages=[user("q")],
        tools=[WEATHER],
        thinking={"type": "adaptive"},
    ).http_response.json()
    assert [name for name, value in answer.items() if value is None] == [
        "stop_sequence"
    ]
    assert not [block for block in answer["content"] if None in block.values()]


@pytest.mark.parametrize("stop", [[f"s{n}" for n in range(65)], ["a" * 1_001]])
def test_stop_sequences_have_bounds(create, stop):
    assert create("hello", stop_sequences=[f"s{n}" for n in range(64)]).content
    with pytest.raises(anthropic.BadRequestError, match="stop_sequences"):
        create("hello", stop_sequences=stop)


def test_a_schema_that_is_none_is_refused_by_name(create):
    schema = {"type": "object", "properties": {"a": {"type": "strin"}}}
    tool = {"name": "t", "input_schema": schema}
    with pytest.raises(anthropic.BadRequestError) as error:
        create("hello", tools=[tool])
    message = error.value.body["error"]["message"]
    assert "`tools[0].input_schema.properties.a.type`" in message
