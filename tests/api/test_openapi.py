from __future__ import annotations

import httpx2
import pytest
from openapi_spec_validator import validate

from claude_nb_gateway.api.routes import document


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


def test_other_methods_are_named(gateway):
    url = f"{gateway.base_url}/chat/completions"
    answer = httpx2.put(
        url, headers={"Authorization": f"Bearer {gateway.key}"}, json={}
    )
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert "GET" not in answer.headers["allow"]
