from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.failures import (
    failure,
    unrecoverable,
    upstream_error,
)
from claude_nb_gateway.claude_code.protocol import Result, System
from claude_nb_gateway.errors import InvalidRequest, NotLoggedIn, UpstreamError


def test_not_logged_in_says_how_to():
    error = failure(Result(is_error=True, result="Not logged in · Please run /login"))
    assert isinstance(error, NotLoggedIn)
    assert "jupyter claude-gateway login" in error.message


def test_too_long_a_prompt_is_the_clients_to_shorten():
    error = failure(Result(is_error=True, terminal_reason="prompt_too_long"))
    assert isinstance(error, InvalidRequest)
    assert error.code == "context_length_exceeded"


@pytest.mark.parametrize("status", [None, 400, 401, 403, 404, 413, 429, 500, 529])
def test_no_address_or_path_is_in_a_message(status):
    said = "API Error: 400 bad, see /root/.claude/x at 10.0.0.7:8080 or http://a.b/c"
    error = failure(Result(is_error=True, api_error_status=status, result=said))
    assert isinstance(error, UpstreamError)
    assert error.status == status
    for secret in ("/root", "10.0.0.7", "http://"):
        assert secret not in error.message
    assert error.detail == said


def test_what_the_api_said_of_a_bad_request_is_passed_on():
    error = upstream_error(400, "API Error: 400 messages.0: text must not be empty")
    assert error.message.endswith(": messages.0: text must not be empty")


def test_retry_of_an_unrecoverable_error_is_not_waited_for():
    assert unrecoverable(System(subtype="api_retry", error_status=401)).status == 401
    assert unrecoverable(System(subtype="api_retry", error_status=529)) is None
    assert unrecoverable(System(subtype="init")) is None
