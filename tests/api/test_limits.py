from __future__ import annotations

import time

import pytest

from claude_nb_gateway.api.limits import limit_headers
from claude_nb_gateway.claude_code.protocol import LimitWindow, RateLimits
from claude_nb_gateway.demo.model import Reply
from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of

# The CLI tells nothing of a window that is over.
RESET = str(int(time.time()) + 3600)
UPSTREAM = {
    "anthropic-ratelimit-unified-status": "allowed",
    "anthropic-ratelimit-unified-reset": RESET,
    "anthropic-ratelimit-unified-representative-claim": "five_hour",
    "anthropic-ratelimit-unified-5h-utilization": "0.8",
    "anthropic-ratelimit-unified-5h-reset": RESET,
}


@pytest.fixture
def subscribed(tmp_path, model):
    """A gateway whose CLI is logged in as that of a subscription is."""
    # An empty key is none; the name of the token is its own.
    env = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-none"}
    with running_gateway(tmp_path, model.url, env=env) as gateway:
        yield gateway


@pytest.mark.soak
def test_share_used_of_a_subscription_is_told(subscribed, model):
    model.responder = lambda request: Reply(["hi"], headers=UPSTREAM)
    with client_of(subscribed) as client:
        answer = client.chat.completions.with_raw_response.create(
            model="sonnet", messages=[{"role": "user", "content": "q"}]
        )
    assert answer.headers["anthropic-ratelimit-unified-status"] == "allowed"
    assert answer.headers["anthropic-ratelimit-unified-5h-utilization"] == "0.8"
    assert answer.headers["anthropic-ratelimit-unified-5h-reset"] == RESET


def test_nothing_is_told_that_is_not_known(client):
    answer = client.chat.completions.with_raw_response.create(
        model="sonnet", messages=[{"role": "user", "content": "q"}]
    )
    assert not [name for name in answer.headers if "ratelimit" in name.lower()]


def test_headers_are_those_of_the_windows_that_are_known():
    windows = {
        "five_hour": LimitWindow(utilization=0.0, resets_at=5),
        "seven_day": LimitWindow(utilization=0.25),
        "of_another_kind": LimitWindow(utilization=1.0, resets_at=7),
    }
    limits = RateLimits("allowed_warning", resets_at=0, unified_windows=windows)
    prefix = "Anthropic-RateLimit-Unified"
    assert dict(limit_headers(limits)) == {
        f"{prefix}-Status": "allowed_warning",
        f"{prefix}-Reset": "0",
        f"{prefix}-5h-Utilization": "0.0",
        f"{prefix}-5h-Reset": "5",
        f"{prefix}-7d-Utilization": "0.25",
    }


def test_without_limits_there_are_no_headers():
    assert list(limit_headers(None)) == []
