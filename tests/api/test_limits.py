from __future__ import annotations

import time

import pytest

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
