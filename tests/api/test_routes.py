"""Which handler each request gets, and that the table of routes is true."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import quote

import pytest
from jupyter_server.base.handlers import APIHandler
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.routing import PathMatches

from claude_nb_gateway.access.keys import KEY_PREFIX
from claude_nb_gateway.api.not_found import KeyElsewhereHandler
from claude_nb_gateway.api.routes import (
    ROUTES,
    document,
    first_rules,
    handlers,
    handlers_alone,
    operations,
)
from claude_nb_gateway.api.routing import UPGRADE

BASE_URL = "/user/me/"


def request_for(method, path, **headers):
    return HTTPServerRequest(
        connection=SimpleNamespace(set_close_callback=lambda callback: None),
        start_line=RequestStartLine(method, path, "HTTP/1.1"),
        headers=HTTPHeaders(Host="h", **headers),
    )


def handler_of(method, path, **headers):
    """Name of the handler and its arguments for a request below the base URL."""
    request = request_for(method, BASE_URL.rstrip("/") + path, **headers)
    rules = [(r.matcher, r.target) for r in first_rules(BASE_URL, None)]
    rules += [
        (PathMatches(BASE_URL.rstrip("/") + pattern), handler)
        for pattern, handler, *_ in (*handlers(None), *handlers_alone())
    ]
    for matcher, handler in rules:
        found = matcher.match(request)
        if found is not None:
            arguments = found.get("path_kwargs", {})
            return handler.__name__, {k: v.decode() for k, v in arguments.items()}
    return None


IN_A = {"project": "a"}
RESPONSE = {"response_id": "resp_1"}


@pytest.mark.parametrize(
    ("method", "path", "handler", "arguments"),
    [
        ("POST", "/chat/completions", "ChatCompletionsHandler", {}),
        ("POST", "/v1/messages", "MessagesHandler", {}),
        ("GET", "/models/a/b", "ModelHandler", {"name": "a/b"}),
        ("GET", "/responses/other", "ResponseHandler", {"response_id": "other"}),
        ("GET", "/projects/a/b", "ProjectHandler", {"reference": "a/b"}),
        ("POST", "/projects/a/chat/completions", "ChatCompletionsHandler", IN_A),
        ("POST", "/projects/a/v1/messages", "MessagesHandler", IN_A),
        ("POST", "/projects/a/v1/v1/messages", "MessagesHandler", {"project": "a/v1"}),
        ("POST", "/projects/a%2Fv1/messages", "MessagesHandler", {"project": "a/v1"}),
        ("GET", "/projects/a/responses/resp_1", "ResponseHandler", IN_A | RESPONSE),
        ("GET", "/nothing", "NotFoundHandler", {}),
    ],
)
def test_request_gets_the_handler_of_its_url(method, path, handler, arguments):
    assert handler_of(method, f"/v1{path}") == (handler, arguments)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "a/messages"),
        ("GET", "a/responses"),
        ("GET", "a/models/chat/completions"),
        ("GET", "a/responses/resp_1/cancel"),
        ("PATCH", "a/models"),
        ("PATCH", "a/models/b"),
        ("PATCH", "a/responses/resp_1"),
        ("DELETE", "a/models/b"),
        ("DELETE", "a/responses/compact"),
        ("DELETE", "a/responses/resp_1/cancel"),
        ("PATCH", "a/v1"),
    ],
)
def test_what_an_api_has_no_method_for_is_about_the_directory(method, path):
    found = handler_of(method, f"/v1/projects/{path}")
    assert found == ("ProjectHandler", {"reference": path})


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["a/models", "a/models/b", "a/responses/resp_1", "é/v1/messages"]
)
def test_encoded_path_always_names_the_directory(method, path):
    found = handler_of(method, f"/v1/projects/{quote(path, safe='')}")
    assert found == ("ProjectHandler", {"reference": path})


@pytest.mark.parametrize("directory", ["models", "a/models", "a/models/models/b"])
def test_what_is_within_a_directory_called_models_is_reached(directory):
    within = f"/v1/projects/{directory}"
    project = {"project": directory}
    assert handler_of("GET", f"{within}/models/m") == (
        "ModelHandler",
        project | {"name": "m"},
    )
    for method in ("GET", "DELETE"):
        found = handler_of(method, f"{within}/responses/resp_1")
        assert found == ("ResponseHandler", project | RESPONSE)


def test_websocket_is_opened_in_a_project_by_its_header_alone():
    path = "/v1/projects/a/responses"
    assert handler_of("GET", path, Upgrade="websocket") == ("ResponsesSocket", IN_A)
    assert handler_of("GET", path)[0] == "ProjectHandler"
    # Some clients offer another protocol with every request.
    found = handler_of("GET", "/v1/projects/a/models", Upgrade="h2c")
    assert found == ("ModelsHandler", IN_A)


@pytest.mark.parametrize("path", ["/api/contents", "/", "/v1x", "/v2/v1/models"])
def test_scoped_key_is_kept_out_of_everything_else(path):
    key = f"Bearer {KEY_PREFIX}x"
    found = handler_of("GET", path, Authorization=key)
    assert found == (KeyElsewhereHandler.__name__, {})


@pytest.mark.parametrize("path", ["/v1", "/v1/models", "/health"])
def test_scoped_key_is_let_through_to_its_own_urls(path):
    key = f"Bearer {KEY_PREFIX}x"
    assert handler_of("GET", path, Authorization=key) == handler_of("GET", path)
    assert handler_of("GET", path)[0] != KeyElsewhereHandler.__name__


def test_every_handler_has_just_the_methods_that_its_route_declares():
    for route in ROUTES:
        if not route.operations:
            continue
        declared = {m.replace(UPGRADE, "GET") for m in route.methods}
        made = {
            name
            for name in ("GET", "POST", "PATCH", "PUT", "DELETE")
            if getattr(route.handler, name.lower())
            is not getattr(APIHandler, name.lower())
        }
        assert made == declared, route.path


def test_every_url_is_declared_once_and_described():
    paths = [route.path for route in ROUTES]
    assert len(set(paths)) == len(paths)
    described = {(path, operation.method) for path, operation in operations()}
    assert described == {
        (path, method) for path, item in document()["paths"].items() for method in item
    }
    assert len(described) == len(list(operations()))
