from __future__ import annotations

from types import SimpleNamespace

import pytest
from tornado.httputil import HTTPHeaders

from claude_nb_gateway.api.ids import project_named, session_named
from claude_nb_gateway.errors import InvalidRequest


def request_with(**headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(headers=HTTPHeaders(named))


@pytest.mark.parametrize(
    ("in_body", "in_header", "in_path", "named"),
    [
        (None, "", None, None),
        ("", "", "", None),
        ("a/b", "", None, "a/b"),
        (None, "a%2Fb%C3%A9", None, "a/bé"),
        (None, "", "a/b", "a/b"),
        ("a/b", "a%2Fb", "a/b", "a/b"),
    ],
)
def test_project_is_named_in_body_header_or_path(in_body, in_header, in_path, named):
    request = request_with(X_Claude_Project=in_header)
    assert project_named(request, in_body, in_path) == named


@pytest.mark.parametrize(
    ("in_body", "in_header", "in_path"),
    [("a", "b", None), ("a", "", "b"), (None, "a", "b")],
)
def test_several_projects_in_one_request_are_refused(in_body, in_header, in_path):
    request = request_with(X_Claude_Project=in_header)
    with pytest.raises(InvalidRequest, match="`project_id`") as refused:
        project_named(request, in_body, in_path)
    assert refused.value.param == "project_id"


def test_session_is_named_in_body_or_header():
    assert session_named(request_with(), None) is None
    assert session_named(request_with(), "s") == "s"
    assert session_named(request_with(X_Claude_Session="s"), None) == "s"
    assert session_named(request_with(X_Claude_Session="s"), "s") == "s"


def test_several_sessions_in_one_request_are_refused():
    with pytest.raises(InvalidRequest, match="`session_id`"):
        session_named(request_with(X_Claude_Session="s"), "t")
