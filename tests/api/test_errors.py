"""Errors in the words and codes by which clients decide what to do next."""

from __future__ import annotations

import pytest

from claude_nb_gateway.api.errors import api_error
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.errors import InvalidRequest, QuotaExceeded, UpstreamError
from claude_nb_gateway.wire.messages.events import MessageWriter
from claude_nb_gateway.wire.responses.events import ResponseWriter, response_to
from claude_nb_gateway.wire.responses.tools import ClientTools
from claude_nb_gateway.wire.responses.types import ResponseRequest

from .apis import APIS, error_of, post, send

EXTRA = "Extra usage is required for long context requests."
THIRD_PARTY = "Third-party apps now draw from your extra usage, not your plan limits."
OUT = "You're out of extra usage. Add more at claude.ai/settings/usage."
CREDIT = "Your credit balance is too low to access the Anthropic API."


@pytest.mark.soak
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("status", "said", "told", "words", "code", "kind"),
    [
        (
            429,
            "Slow down",
            429,
            "rate limit",
            "rate_limit_exceeded",
            "rate_limit_error",
        ),
        (529, "Busy", 503, "overloaded", "server_is_overloaded", "overloaded_error"),
        (
            400,
            "prompt is too long: 210000 tokens > 200000 maximum",
            400,
            "maximum context length",
            "context_length_exceeded",
            "invalid_request_error",
        ),
        (
            401,
            "invalid x-api-key",
            401,
            "invalid api key",
            "upstream_error",
            "authentication_error",
        ),
        (
            429,
            EXTRA,
            429,
            "extra usage is required",
            "insufficient_quota",
            "billing_error",
        ),
        (
            400,
            THIRD_PARTY,
            429,
            "third-party apps",
            "insufficient_quota",
            "billing_error",
        ),
        (400, OUT, 429, "out of extra usage", "insufficient_quota", "billing_error"),
        (400, CREDIT, 429, "credit balance", "insufficient_quota", "billing_error"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_failure_of_the_models_api_has_the_usual_words(
    gateway, model, api, status, said, told, words, code, kind
):
    model.responder = lambda request: Reply(status=status, message=said)
    answer = post(gateway, api, model="sonnet")
    message, its_type, its_code = error_of(answer)
    assert answer.status_code == told
    assert words in message.lower()
    if api == "messages":
        assert its_type == kind
    else:
        assert its_code == code
    # Asking again would not help, and both official clients look at this.
    never = answer.headers.get("x-should-retry")
    assert never == ("false" if code == "insufficient_quota" else None)


@pytest.mark.parametrize("api", APIS)
def test_wrong_key_is_an_invalid_api_key(gateway, model, api):
    wrong = {"Authorization": "Bearer wrong"}
    answer = send(gateway, f"/{api}", b"{}", **wrong)
    assert answer.status_code == 401
    assert "invalid api key" in error_of(answer)[0].lower()


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (
            UpstreamError("busy", status=529),
            "server_is_overloaded",
            "overloaded_error",
        ),
        (UpstreamError("slow", status=429), "rate_limit_exceeded", "rate_limit_error"),
        (QuotaExceeded("pay", status=400), "insufficient_quota", "billing_error"),
        (
            InvalidRequest("long", code="context_length_exceeded"),
            "context_length_exceeded",
            "invalid_request_error",
        ),
        (UpstreamError("cut", status=None), "server_error", "api_error"),
    ],
)
def test_failure_in_mid_stream_has_the_same_code(error, code, kind):
    body = api_error(error).body
    response = response_to(ResponseRequest(input="q"), ClientTools())
    (failed,) = ResponseWriter(response).fail(body)
    assert failed.response.error.code == code
    (event,) = MessageWriter("m", "req_1", shows_thoughts=False).fail(body)
    assert event.error.type == kind


def test_too_large_for_the_models_api_is_as_if_for_the_gateway():
    error = api_error(UpstreamError("large", status=413))
    assert (error.status_code, error.body.code) == (413, "request_too_large")
    wire = MessageWriter("m", "req_1", shows_thoughts=False)
    (event,) = wire.fail(error.body)
    assert event.error.type == "request_too_large"
