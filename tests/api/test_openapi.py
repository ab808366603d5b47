from __future__ import annotations

import re

import httpx2
import pytest
from openapi_spec_validator import validate

from claude_nb_gateway.api.openapi import OPERATIONS, document
from claude_nb_gateway.app import GatewayApp

# Serve nothing of the API.
OTHERS = {"/v1/openapi.json", "/*v1(?:/.*)?"}


@pytest.fixture
def served(gateway):
    url = f"{gateway.base_url}/openapi.json"
    headers = {"Authorization": f"Bearer {gateway.key}"}
    return httpx2.get(url, headers=headers, timeout=30)


def test_document_is_valid_and_of_this_server(served):
    body = served.json()
    validate(body)
    assert body["servers"] == [{"url": "/"}]
    assert body["paths"] == document()["paths"]


def test_document_asks_for_a_key(gateway):
    assert httpx2.get(f"{gateway.base_url}/openapi.json").status_code == 401


def test_every_route_is_described():
    app = GatewayApp()
    app.initialize_handlers()
    routes = {route for route, *_ in app.handlers} - OTHERS
    described = {re.sub(r"{\w+}", "(x)", operation.path) for operation in OPERATIONS}
    # What Anthropic's clients put behind a base URL is theirs.
    plain = {route.replace("(?:/v1)?", "") for route in routes}
    assert {re.sub(r"\(.*?\)", "(x)", route) for route in plain} == described


def test_other_methods_are_named(gateway):
    url = f"{gateway.base_url}/chat/completions"
    answer = httpx2.put(
        url, headers={"Authorization": f"Bearer {gateway.key}"}, json={}
    )
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert "GET" not in answer.headers["allow"]
