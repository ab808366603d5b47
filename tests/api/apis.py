"""One question put to each API that answers, by plain HTTP."""

from __future__ import annotations

import json

import httpx2

APIS = ("chat/completions", "completions", "responses", "messages")


def body_for(api, text="hi", **fields):
    """The least that `api` takes, and `fields`."""
    messages = [{"role": "user", "content": text}]
    least = {
        "chat/completions": {"messages": messages},
        "completions": {"prompt": text},
        "responses": {"input": text},
        "messages": {"messages": messages, "max_tokens": 1_000},
    }
    return least[api] | fields


def post(gateway, api, **body):
    """The response to the least request of `api` with `body` over it."""
    fields = body_for(api) | body
    return send(gateway, "/" + api, json.dumps(fields).encode())


def send(gateway, path, content=b"", method="POST", **headers):
    """The response to a request of any kind, below the base URL."""
    own = {
        "Authorization": f"Bearer {gateway.key}",
        "Content-Type": "application/json",
    }
    with httpx2.Client(timeout=30) as http:
        url = gateway.base_url + path
        return http.request(method, url, content=content, headers={**own, **headers})


def error_of(response):
    """The message, type and code of the error; Anthropic's has no code."""
    error = response.json()["error"]
    return error["message"], error["type"], error.get("code")
