"""`GET /v1/openapi.json`: the OpenAPI document, made from the routes and types."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from http.client import responses
from importlib.metadata import version
from typing import Any

import msgspec

from ..wire.errors import ErrorResponse
from .auth import allowed_to
from .base import GatewayHandler
from .services import Services

DISTRIBUTION = "claude_nb_gateway"

#: The statuses of the errors of any request, and of one that can have a body.
ERRORS = (400, 401, 403, 404, 405, 409, 429, 500, 502, 503, 504)
BODY_ERRORS = (413, 415)

_REFERENCE = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"{(\w+)}")


#: Name and schema of each parameter of a query.
Query = tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Parameters
    ----------
    method:
        Its name in lower case.
    request:
        The type of the body; None if there is none.
    response:
        The type of the answer; None if that is a WebSocket.
    events:
        The type of the events, if the answer can be streamed or is a WebSocket.
    query:
        The parameters of the query.
    messages:
        The type of what a client sends, if the answer is a WebSocket.
    error:
        The type of the errors.
    """

    method: str
    summary: str
    _: KW_ONLY
    request: Any = None
    response: Any = None
    events: Any = None
    query: Query = ()
    messages: Any = None
    error: Any = ErrorResponse


def document(operations: Sequence[tuple[str, Operation]]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `operations`, each with its path.

    The server that it is of is left out.
    """
    types = [
        kind
        for _, operation in operations
        for kind in (
            operation.request,
            operation.response,
            operation.events,
            operation.messages,
            operation.error,
        )
        if kind is not None
    ]
    made, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    # Unions cannot be keys of a dictionary.
    schemas = {id(kind): schema for kind, schema in zip(types, made, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for path, operation in operations:
        described = _operation(path, operation, schemas)
        paths.setdefault(path, {})[operation.method] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "claude_nb_gateway",
            "version": version(DISTRIBUTION),
            "description": "OpenAI's and Anthropic's APIs over the Claude Code CLI.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _operation(
    path: str, operation: Operation, schemas: dict[int, Any]
) -> dict[str, Any]:
    has_body = operation.method in ("post", "patch")
    errors = (*ERRORS, *BODY_ERRORS) if has_body else ERRORS
    if operation.messages is not None:
        errors = (*errors, 426)
    answers = {
        "200" if operation.messages is None else "101": _answer(operation, schemas)
    }
    for status in sorted(errors):
        answers[str(status)] = {
            "description": responses[status],
            "content": {"application/json": {"schema": schemas[id(operation.error)]}},
        }
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _operation_id(path, operation.method),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PATH_PARAMETER.findall(path)
        ]
        + [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in operation.query
        ],
        "responses": answers,
    }
    if operation.request is not None:
        body = {"application/json": {"schema": schemas[id(operation.request)]}}
        described["requestBody"] = {"required": True, "content": body}
    return described


def _answer(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    # OpenAPI has no words for what is in a stream or on a WebSocket: that is beside it.
    if operation.messages is not None:
        return {
            "description": responses[101],
            "x-message-schema": schemas[id(operation.messages)],
            "x-event-schema": schemas[id(operation.events)],
        }
    content = {"application/json": {"schema": schemas[id(operation.response)]}}
    if operation.events is not None:
        content["text/event-stream"] = {
            "schema": {"type": "string"},
            "x-event-schema": schemas[id(operation.events)],
        }
    return {"description": "OK", "content": content}


def _operation_id(path: str, method: str) -> str:
    return "_".join([method, *re.findall(r"\w+", path.removeprefix("/v1/"))])


class OpenAPIHandler(GatewayHandler):
    """Gives the document."""

    def initialize(  # type: ignore[override]
        self, services: Services, document: Callable[[], dict[str, Any]]
    ) -> None:
        """Keep what the handler may use, and what makes the document."""
        super().initialize(services)
        self._document = document

    @allowed_to("read")
    async def get(self) -> None:
        """Give the document, with the address of this server."""
        self.finish({**self._document(), "servers": [{"url": self.base_url}]})

    head = get
