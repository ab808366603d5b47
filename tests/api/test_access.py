from __future__ import annotations

import http.cookies
import re

import httpx2
import openai
import pytest

from claude_nb_gateway.testing.server import running_gateway

from ..conftest import client_of

BODY = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}


def chat(gateway, **options):
    return httpx2.post(f"{gateway.base_url}/chat/completions", timeout=30, **options)


def error_of(response):
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("key", ["wrong", "sk-1", "a b"])
def test_wrong_key_is_an_authentication_error(gateway, key):
    with (
        client_of(gateway, api_key=key) as client,
        pytest.raises(openai.AuthenticationError, match="API key"),
    ):
        client.chat.completions.create(**BODY)


@pytest.mark.parametrize("path", ["models", "models/opus", "nothing"])
def test_no_key_is_unauthorized(gateway, path):
    response = httpx2.get(f"{gateway.base_url}/{path}")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert error_of(response)["code"] == "invalid_api_key"


def test_post_without_key_is_unauthorized_not_xsrf(gateway):
    response = chat(gateway, json=BODY)
    assert response.status_code == 401
    assert "xsrf" not in response.text


@pytest.fixture
def logged_in(gateway):
    """A browser: cookies, no header."""
    root = gateway.base_url.removesuffix("/v1")
    with httpx2.Client(base_url=root) as browser:
        browser.get("/login", params={"token": gateway.key}, follow_redirects=True)
        yield browser


def test_cookie_without_xsrf_token_is_refused(logged_in):
    response = logged_in.post("/v1/chat/completions", json=BODY)
    assert response.status_code == 403
    assert "_xsrf" in error_of(response)["message"]


def test_cookie_with_xsrf_token_is_let_in(logged_in):
    cookies = http.cookies.SimpleCookie("; ".join(logged_in.cookies))
    assert cookies is not None
    headers = {"X-XSRFToken": logged_in.cookies["_xsrf"]}
    response = logged_in.post(
        "/v1/chat/completions", json=BODY, headers=headers, timeout=30
    )
    assert response.status_code == 200


def test_key_of_the_server_is_not_in_its_log(gateway):
    httpx2.get(f"{gateway.base_url}/models", params={"token": gateway.key})
    assert not re.search(re.escape(gateway.key), "".join(gateway.log))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "", 404),
        ("DELETE", "/models", 405),
        ("GET", "/chat/completions", 405),
    ],
)
def test_wrong_path_or_method_has_our_shape(gateway, method, path, status):
    headers = {"Authorization": f"Bearer {gateway.key}"}
    response = httpx2.request(method, gateway.base_url + path, headers=headers)
    assert response.status_code == status
    assert error_of(response)["type"] == "invalid_request_error"


def test_bad_json_is_a_bad_request(gateway):
    headers = {"Authorization": f"Bearer {gateway.key}"}
    response = chat(gateway, content=b"{", headers=headers)
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_json"


def test_too_large_a_body_is_refused(gateway):
    headers = {"Authorization": f"Bearer {gateway.key}"}
    response = chat(gateway, content=b" " * (2**25 + 1), headers=headers)
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"


def test_alone_no_key_is_needed(standalone_gateway):
    assert chat(standalone_gateway, json=BODY).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Origin": "https://evil.example"}, 403, "foreign_origin"),
        ({"Origin": "null"}, 403, "foreign_origin"),
        ({"Host": "evil.example"}, 403, "foreign_host"),
        ({"Host": "evil.example:8000"}, 403, "foreign_host"),
        ({"Host": "127.0.0.1.evil.example"}, 403, "foreign_host"),
        ({"Host": "10.0.0.1"}, 403, "foreign_host"),
        ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            415,
            "unsupported_media_type",
        ),
    ],
)
def test_alone_foreign_callers_are_refused(
    standalone_gateway, model, headers, status, code
):
    response = chat(
        standalone_gateway,
        content=b"{}",
        headers={"Content-Type": "application/json", **headers},
    )
    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert model.requests == []


def test_alone_its_own_origin_is_let_in(standalone_gateway):
    origin = standalone_gateway.base_url.removesuffix("/v1")
    response = chat(standalone_gateway, json=BODY, headers={"Origin": origin})
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["contents", "kernels", "terminals", "sessions"])
def test_alone_nothing_of_a_notebook_server_is_there(standalone_gateway, path):
    root = standalone_gateway.base_url.removesuffix("/v1")
    headers = {"Authorization": f"Bearer {standalone_gateway.key}"}
    assert httpx2.get(f"{root}/api/{path}", headers=headers).status_code == 404


PAGE = "https://app.example"


@pytest.fixture
def open_to_a_page(tmp_path, model):
    option = f"--ServerApp.allow_origin={PAGE}"
    with running_gateway(tmp_path, model.url, option) as gateway:
        yield gateway


def preflight(gateway):
    return httpx2.options(
        f"{gateway.base_url}/chat/completions",
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, x-stainless-os",
        },
    )


@pytest.mark.soak
def test_page_of_an_allowed_origin_may_call(open_to_a_page):
    answer = preflight(open_to_a_page)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]
    headers = {"Origin": PAGE, "Authorization": f"Bearer {open_to_a_page.key}"}
    answer = chat(open_to_a_page, json=BODY, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]


def test_by_default_no_page_may_call(gateway, standalone_gateway):
    assert "access-control-allow-origin" not in preflight(gateway).headers
    assert "access-control-allow-origin" not in preflight(standalone_gateway).headers


@pytest.mark.parametrize("path", ["models", "models/sonnet"])
def test_head_is_get_without_a_body(gateway, path):
    headers = {"Authorization": f"Bearer {gateway.key}"}
    answer = httpx2.head(f"{gateway.base_url}/{path}", headers=headers)
    assert answer.status_code == 200
    assert answer.content == b""


def test_what_claude_does_not_make_is_said(gateway):
    with (
        client_of(gateway) as client,
        pytest.raises(openai.NotFoundError, match="makes no embeddings"),
    ):
        client.embeddings.create(model="text-embedding-3-small", input="x")
