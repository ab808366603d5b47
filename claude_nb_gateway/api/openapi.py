"""`GET /v1/openapi.json`: what there is under ``/v1``, made from the types."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from http.client import responses
from importlib.metadata import version
from typing import Any

import msgspec

from ..wire.chat import types as openai
from ..wire.chat.completions import Completion, CompletionRequest
from ..wire.messages import types as anthropic
from ..wire.responses import types as response_types
from ..wire.responses.compaction import CompactedResponse, CompactRequest
from ..wire.responses.event_types import AnyEvent
from ..wire.responses.socket_types import HeadersEvent, ResponseCreate, SocketError
from . import resources
from .auth import allowed_to
from .base import GatewayHandler

DISTRIBUTION = "claude_nb_gateway"

#: What any request may be answered with instead, and one that can have a body.
ERRORS = (400, 401, 403, 404, 405, 409, 429, 500, 502, 503, 504)
BODY_ERRORS = (413, 415)

_REFERENCE = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Parameters
    ----------
    request:
        The type of the body, None where there is none.
    response:
        The type of the answer.
    events:
        The type of the events where the answer can be streamed.
    query:
        The schemas of the query's parameters.
    messages:
        The type of what a client sends where the answer is a WebSocket.
    """

    method: str
    path: str
    summary: str
    request: Any
    response: Any
    events: Any = None
    query: tuple[tuple[str, dict[str, Any]], ...] = ()
    messages: Any = None

    @property
    def error(self) -> Any:
        """The type of its errors."""
        is_anthropics = "/messages" in self.path
        return anthropic.ErrorEvent if is_anthropics else openai.ErrorResponse


_MESSAGE_EVENT = (
    anthropic.MessageStart
    | anthropic.ContentBlockStart
    | anthropic.ContentBlockDelta
    | anthropic.ContentBlockStop
    | anthropic.MessageDelta
    | anthropic.MessageStop
    | anthropic.ErrorEvent
)

_PAGE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
    ("after", {"type": "string"}),
    ("order", {"enum": ["asc", "desc"]}),
)

_ANSWERING = (
    Operation(
        "post",
        "/v1/chat/completions",
        "Answer a conversation",
        openai.ChatCompletionRequest,
        openai.ChatCompletion,
        openai.ChatCompletionChunk,
    ),
    Operation(
        "post",
        "/v1/responses",
        "Answer an input",
        response_types.ResponseRequest,
        response_types.Response,
        AnyEvent,
    ),
    Operation(
        "get",
        "/v1/responses",
        "Open a WebSocket, for responses one after another",
        None,
        None,
        AnyEvent | HeadersEvent | SocketError,
        messages=ResponseCreate,
    ),
    Operation(
        "post",
        "/v1/responses/compact",
        "Make a conversation short",
        CompactRequest,
        CompactedResponse,
    ),
    Operation(
        "get",
        "/v1/responses/{response_id}",
        "Retrieve a stored response",
        None,
        response_types.Response,
    ),
    Operation(
        "delete",
        "/v1/responses/{response_id}",
        "Forget a stored response",
        None,
        response_types.ResponseDeleted,
    ),
    Operation(
        "post",
        "/v1/responses/{response_id}/cancel",
        "Stop a response that is being made",
        None,
        response_types.Response,
    ),
    Operation(
        "get",
        "/v1/responses/{response_id}/input_items",
        "List what a stored response answers",
        None,
        response_types.InputItemList,
        query=_PAGE,
    ),
    Operation(
        "post",
        "/v1/messages",
        "Answer a conversation, as Anthropic's API does",
        anthropic.MessagesRequest,
        anthropic.AssistantMessage,
        _MESSAGE_EVENT,
    ),
    Operation(
        "post",
        "/v1/messages/count_tokens",
        "Estimate the tokens of a conversation",
        anthropic.CountTokensRequest,
        anthropic.TokenCount,
    ),
    Operation(
        "post",
        "/v1/completions",
        "Answer a prompt",
        CompletionRequest,
        Completion,
        Completion,
    ),
    Operation("get", "/v1/models", "List the models", None, openai.ModelList),
    Operation("get", "/v1/models/{model}", "Describe a model", None, openai.Model),
)

_PROJECT = "/v1/projects/{project}"
_SESSION = "/v1/sessions/{session_id}"

_RESOURCES = (
    Operation(
        "get",
        "/v1/projects",
        "List the projects",
        None,
        resources.ProjectList,
        query=_PAGE,
    ),
    Operation(
        "post",
        "/v1/projects",
        "Make a directory a project",
        resources.CreateProject,
        resources.ProjectObject,
    ),
    Operation("get", _PROJECT, "Describe a project", None, resources.ProjectObject),
    Operation(
        "patch",
        _PROJECT,
        "Change a project",
        resources.UpdateProject,
        resources.ProjectObject,
    ),
    Operation(
        "delete",
        _PROJECT,
        "Forget a project",
        None,
        resources.Deleted,
        query=(("files", {"type": "boolean"}), ("confirm", {"type": "string"})),
    ),
    Operation(
        "get",
        "/v1/sessions",
        "List the sessions",
        None,
        resources.SessionList,
        query=(("project", {"type": "string"}), *_PAGE),
    ),
    Operation(
        "post",
        "/v1/sessions",
        "Make a session",
        resources.CreateSession,
        resources.SessionObject,
    ),
    Operation(
        "get",
        _SESSION,
        "Give a session with its messages",
        None,
        resources.SessionWithMessages,
    ),
    Operation(
        "patch",
        _SESSION,
        "Rename a session",
        resources.UpdateSession,
        resources.SessionObject,
    ),
    Operation("delete", _SESSION, "Forget a session", None, resources.Deleted),
    Operation(
        "post",
        f"{_SESSION}/interrupt",
        "Stop the turn of a session",
        None,
        resources.Interrupted,
    ),
    Operation(
        "post",
        f"{_SESSION}/fork",
        "Copy a session",
        resources.ForkSession,
        resources.SessionObject,
    ),
)

OPERATIONS = (
    *_ANSWERING,
    *_RESOURCES,
    *(
        replace(
            operation,
            path=operation.path.replace("/v1", _PROJECT, 1),
            summary=f"{operation.summary}, in a project",
        )
        for operation in _ANSWERING
    ),
)


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document, without the server it is of."""
    types = [
        kind
        for operation in OPERATIONS
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
    # Unions cannot be keys.
    schemas = {id(kind): schema for kind, schema in zip(types, made, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        described = _operation(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method] = described
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


def _operation(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
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
        "operationId": _operation_id(operation),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PATH_PARAMETER.findall(operation.path)
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


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.removeprefix("/v1/"))
    return "_".join([operation.method, *words])


class OpenAPIHandler(GatewayHandler):
    """The document."""

    @allowed_to("read")
    async def get(self) -> None:
        """Give the document, of this server."""
        self.finish({**document(), "servers": [{"url": self.base_url}]})

    head = get
