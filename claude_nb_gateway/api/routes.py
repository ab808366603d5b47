"""Every URL of the gateway, declared once: for the server and for its document.

What answers a conversation exists twice: under ``/v1``, and under
``/v1/projects/{project}`` for work in a project.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from jupyter_server.utils import url_path_join
from tornado.routing import Rule
from tornado.web import RequestHandler

from ..wire.chat import types as openai
from ..wire.chat.completions import Completion, CompletionRequest
from ..wire.messages import types as anthropic
from ..wire.responses import types as response_types
from ..wire.responses.compaction import CompactedResponse, CompactRequest
from ..wire.responses.event_types import AnyEvent
from ..wire.responses.socket_types import HeadersEvent, ResponseCreate, SocketError
from . import openapi, resources
from .chat import ChatCompletionsHandler
from .compact import CompactHandler
from .completions import CompletionsHandler
from .health import HealthHandler
from .messages import CountTokensHandler, MessagesHandler
from .models import ModelHandler, ModelsHandler
from .not_found import KeyElsewhereHandler, NotFoundHandler
from .openapi import OpenAPIHandler, Operation, Query
from .projects import ProjectHandler, ProjectsHandler
from .response_socket import ResponsesSocket
from .responses import CancelResponseHandler, InputItemsHandler, ResponseHandler
from .routing import PREFIX, PROJECTS, KeyElsewhere, ProjectItself, Route
from .services import Services
from .sessions import ForkHandler, InterruptHandler, SessionHandler, SessionsHandler

HEALTH = "/health"

#: All other paths that a client may take for the API's.
LOST = r"/*v1(?:/.*)?"

Handler = tuple[str, type[RequestHandler], dict[str, Any]]


def handlers(services: Services) -> list[Handler]:
    """Pattern, handler and arguments of every URL, without the base URL."""
    found: list[Handler] = [
        (pattern, route.handler, {"services": services, **route.options})
        for pattern, route in _patterns()
    ]
    known = [pattern for pattern, _, _ in found]
    lost = {"services": services, "known_paths": known}
    return [*found, (LOST, NotFoundHandler, lost)]


def handlers_alone() -> list[tuple[str, type[RequestHandler]]]:
    """Pattern and handler of what only the gateway alone has.

    Elsewhere Jupyter's own `/api/status` tells whether the server answers.
    """
    return [(HEALTH, HealthHandler)]


def first_rules(base_url: str, services: Services) -> list[Rule]:
    """Rules that come before those of all patterns, also before Jupyter's own."""
    options = {"services": services}
    elsewhere = KeyElsewhere(base_url, PREFIX, HEALTH)
    (project,) = (route for route in ROUTES if route.handler is ProjectHandler)
    itself = ProjectItself(
        url_path_join(base_url, PROJECTS) + "/",
        project.methods,
        [
            (url_path_join(base_url, route.pattern_in_projects), route.methods)
            for route in ROUTES
            if route.in_projects
        ],
    )
    return [
        Rule(elsewhere, KeyElsewhereHandler, options),
        Rule(itself, ProjectHandler, options),
    ]


def operations() -> Iterator[tuple[str, Operation]]:
    """Path and operation of every method of every URL, as the document has them."""
    for route in ROUTES:
        for operation in route.operations:
            yield PREFIX + route.path, operation
    for route in ROUTES:
        if route.in_projects:
            for operation in route.operations:
                summary = f"{operation.summary}, in a project"
                path = f"{PROJECTS}/{{project}}{route.path}"
                yield path, replace(operation, summary=summary)


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document of these URLs, without the server that it is of."""
    return openapi.document(list(operations()))


def _patterns() -> Iterator[tuple[str, Route]]:
    # The path of a project could be anything, so what is within a project comes first.
    for route in ROUTES:
        if route.in_projects:
            yield route.pattern, route
    for route in ROUTES:
        if route.in_projects:
            yield route.pattern_in_projects, route
    for route in ROUTES:
        if not route.in_projects:
            yield route.pattern, route


_PAGE: Query = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
    ("after", {"type": "string"}),
    ("order", {"enum": ["asc", "desc"]}),
)
_DELETE_PROJECT: Query = (
    ("files", {"type": "boolean"}),
    ("confirm", {"type": "string"}),
)

_MESSAGE_EVENT = (
    anthropic.MessageStart
    | anthropic.ContentBlockStart
    | anthropic.ContentBlockDelta
    | anthropic.ContentBlockStop
    | anthropic.MessageDelta
    | anthropic.MessageStop
    | anthropic.ErrorEvent
)

# Of several routes that match a path the first one answers.
ROUTES: tuple[Route, ...] = (
    Route(
        path="/chat/completions",
        handler=ChatCompletionsHandler,
        operations=(
            Operation(
                "post",
                "Answer a conversation",
                request=openai.ChatCompletionRequest,
                response=openai.ChatCompletion,
                events=openai.ChatCompletionChunk,
            ),
        ),
        in_projects=True,
    ),
    Route(
        path="/responses",
        handler=ResponsesSocket,
        operations=(
            Operation(
                "post",
                "Answer an input",
                request=response_types.ResponseRequest,
                response=response_types.Response,
                events=AnyEvent,
            ),
            Operation(
                "get",
                "Open a WebSocket, for responses one after another",
                events=AnyEvent | HeadersEvent | SocketError,
                messages=ResponseCreate,
            ),
        ),
        in_projects=True,
    ),
    Route(
        path="/responses/compact",
        handler=CompactHandler,
        operations=(
            Operation(
                "post",
                "Make a conversation short",
                request=CompactRequest,
                response=CompactedResponse,
            ),
        ),
        in_projects=True,
    ),
    Route(
        path="/responses/{response_id}",
        handler=ResponseHandler,
        operations=(
            Operation(
                "get",
                "Retrieve a stored response",
                response=response_types.Response,
            ),
            Operation(
                "delete",
                "Forget a stored response",
                response=response_types.ResponseDeleted,
            ),
        ),
        in_projects=True,
    ),
    Route(
        path="/responses/{response_id}/cancel",
        handler=CancelResponseHandler,
        operations=(
            Operation(
                "post",
                "Stop a response that is being made",
                response=response_types.Response,
            ),
        ),
        in_projects=True,
    ),
    Route(
        path="/responses/{response_id}/input_items",
        handler=InputItemsHandler,
        operations=(
            Operation(
                "get",
                "List what a stored response answers",
                response=response_types.InputItemList,
                query=_PAGE,
            ),
        ),
        in_projects=True,
    ),
    Route(
        path="/messages",
        handler=MessagesHandler,
        operations=(
            Operation(
                "post",
                "Answer a conversation, as Anthropic's API does",
                request=anthropic.MessagesRequest,
                response=anthropic.AssistantMessage,
                events=_MESSAGE_EVENT,
                error=anthropic.ErrorEvent,
            ),
        ),
        in_projects=True,
        doubles_v1=True,
    ),
    Route(
        path="/messages/count_tokens",
        handler=CountTokensHandler,
        operations=(
            Operation(
                "post",
                "Estimate the tokens of a conversation",
                request=anthropic.CountTokensRequest,
                response=anthropic.TokenCount,
                error=anthropic.ErrorEvent,
            ),
        ),
        in_projects=True,
        doubles_v1=True,
    ),
    Route(
        path="/completions",
        handler=CompletionsHandler,
        operations=(
            Operation(
                "post",
                "Answer a prompt",
                request=CompletionRequest,
                response=Completion,
                events=Completion,
            ),
        ),
        in_projects=True,
    ),
    Route(
        path="/models",
        handler=ModelsHandler,
        operations=(Operation("get", "List the models", response=openai.ModelList),),
        in_projects=True,
        doubles_v1=True,
    ),
    Route(
        path="/models/{model}",
        handler=ModelHandler,
        operations=(Operation("get", "Describe a model", response=openai.Model),),
        in_projects=True,
        doubles_v1=True,
    ),
    Route(
        path="/projects",
        handler=ProjectsHandler,
        operations=(
            Operation(
                "get", "List the projects", response=resources.ProjectList, query=_PAGE
            ),
            Operation(
                "post",
                "Make a directory a project",
                request=resources.CreateProject,
                response=resources.ProjectObject,
            ),
        ),
    ),
    Route(
        path="/projects/{project}",
        handler=ProjectHandler,
        operations=(
            Operation("get", "Describe a project", response=resources.ProjectObject),
            Operation(
                "patch",
                "Change a project",
                request=resources.UpdateProject,
                response=resources.ProjectObject,
            ),
            Operation(
                "delete",
                "Forget a project",
                response=resources.Deleted,
                query=_DELETE_PROJECT,
            ),
        ),
    ),
    Route(
        path="/sessions",
        handler=SessionsHandler,
        operations=(
            Operation(
                "get",
                "List the sessions",
                response=resources.SessionList,
                query=(("project", {"type": "string"}), *_PAGE),
            ),
            Operation(
                "post",
                "Make a session",
                request=resources.CreateSession,
                response=resources.SessionObject,
            ),
        ),
    ),
    Route(
        path="/sessions/{session_id}",
        handler=SessionHandler,
        operations=(
            Operation(
                "get",
                "Give a session with its messages",
                response=resources.SessionWithMessages,
            ),
            Operation(
                "patch",
                "Rename a session",
                request=resources.UpdateSession,
                response=resources.SessionObject,
            ),
            Operation("delete", "Forget a session", response=resources.Deleted),
        ),
    ),
    Route(
        path="/sessions/{session_id}/interrupt",
        handler=InterruptHandler,
        operations=(
            Operation(
                "post", "Stop the turn of a session", response=resources.Interrupted
            ),
        ),
    ),
    Route(
        path="/sessions/{session_id}/fork",
        handler=ForkHandler,
        operations=(
            Operation(
                "post",
                "Copy a session",
                request=resources.ForkSession,
                response=resources.SessionObject,
            ),
        ),
    ),
    Route(
        path="/openapi.json",
        handler=OpenAPIHandler,
        options={"document": document},
    ),
)
