from __future__ import annotations

import httpx2
import pytest


def ask(gateway, method="GET", **headers):
    url = gateway.base_url.removesuffix("/v1") + "/health"
    return httpx2.request(method, url, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "10.2.3.4:8000"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer cnbg_wrong"},
        {"Origin": "http://elsewhere.example"},
    ],
)
def test_probe_needs_no_key_and_no_name(standalone_gateway, headers):
    response = ask(standalone_gateway, **headers)
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_probe_may_ask_for_the_head_alone(standalone_gateway):
    response = ask(standalone_gateway, "HEAD")
    assert (response.status_code, response.content) == (200, b"")


def test_probe_changes_nothing(standalone_gateway):
    assert ask(standalone_gateway, "POST").status_code in (403, 405)


def test_jupyter_server_keeps_its_own_paths(gateway):
    assert ask(gateway).status_code == 404
