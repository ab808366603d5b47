from __future__ import annotations

from types import SimpleNamespace

import pytest
from tornado.httputil import HTTPHeaders

from claude_nb_gateway.api.auth import bearer_of
from claude_nb_gateway.api.errors import APIError
from claude_nb_gateway.api.foreign import refuse_foreign_callers


def request_with(**headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(
        headers=HTTPHeaders(named), host=named.get("Host", "localhost"), method="POST"
    )


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer k", "k"),
        ("bearer  k ", "k"),
        ("token k", "k"),
        ("Basic k", ""),
        ("k", ""),
        ("", ""),
    ],
)
def test_key_is_read_from_the_authorization_header(header, key):
    assert bearer_of(request_with(Authorization=header)) == key


JSON = {"Content_Type": "application/json; charset=utf-8"}


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "localhost", "me"])
def test_program_of_this_machine_needs_no_key(host):
    refuse_foreign_callers(request_with(Host=host, **JSON), ["localhost", "me"])


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"} | JSON, 403, "foreign_host"),
        ({"Host": "192.0.2.1:8000"} | JSON, 403, "foreign_host"),
        ({"Host": ""} | JSON, 403, "foreign_host"),
        ({"Origin": "http://evil.example"} | JSON, 403, "foreign_origin"),
        ({"Origin": "null"} | JSON, 403, "foreign_origin"),
        ({"Content_Type": "text/plain"}, 415, "unsupported_media_type"),
        ({}, 415, "unsupported_media_type"),
    ],
)
def test_page_of_a_browser_is_kept_out_without_a_key(headers, status, code):
    with pytest.raises(APIError) as refused:
        refuse_foreign_callers(request_with(**headers), ["localhost"])
    assert (refused.value.status_code, refused.value.body.code) == (status, code)
