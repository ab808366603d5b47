"""The gateway's own resources, projects and sessions, in the style of OpenAI's API.

Times are Unix seconds. Lists are pages with `has_more`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ..errors import InvalidRequest
from ..store.records import Project, SessionRecord, Totals
from ..wire.fields import Fields, PathText


class ResourceUsage(Struct, kw_only=True):
    """The usage of all turns of a resource; tokens as Anthropic counts them."""

    turns: int
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    cost_usd: float


class ProjectObject(Struct, kw_only=True):
    """A project.

    `path` is relative to the server's root. `sessions` is their number. `trusted` says
    whether the directory's own settings take effect.
    """

    id: str
    object: str = "project"
    name: str
    description: str
    path: str
    trusted: bool
    created: int
    last_used: int | None
    sessions: int
    usage: ResourceUsage


class ProjectList(Struct, kw_only=True):
    """A page of projects."""

    object: str = "list"
    data: list[ProjectObject]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class CreateProject(Struct, kw_only=True):
    """The body of `POST /v1/projects`."""

    path: str
    name: str | None = None
    description: str | None = None


class UpdateProject(Struct, kw_only=True):
    """The body of `PATCH /v1/projects/{project}`."""

    name: str | None = None
    description: str | None = None
    path: str | None = None
    trusted: bool | None = None


class Deleted(Struct, kw_only=True):
    """The answer to a DELETE; `files_removed` is the number of removed files."""

    id: str
    object: str
    deleted: bool = True
    files_removed: int | None = None


class SessionObject(Struct, kw_only=True):
    """A session; its id is the CLI's.

    `resume_command` opens it in a terminal, in the directory of its project. The list
    of `claude --resume` shows only sessions that began in a terminal.
    """

    id: str
    object: str = "session"
    title: str
    project_id: str | None
    model: str
    system: str
    created: int
    last_used: int
    usage: ResourceUsage
    resume_command: str


class SessionWithMessages(SessionObject, kw_only=True):
    """A session with its messages, in the form of a chat completion request."""

    messages: list[dict[str, Any]]


class SessionList(Struct, kw_only=True):
    """A page of sessions."""

    object: str = "list"
    data: list[SessionObject]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class CreateSession(Struct, kw_only=True):
    """The body of `POST /v1/sessions`."""

    project_id: PathText | None = None
    system: str | None = None
    model: str | None = None
    title: str | None = None


class UpdateSession(Struct, kw_only=True):
    """The body of `PATCH /v1/sessions/{session_id}`."""

    title: str


class ForkSession(Struct, kw_only=True):
    """The body of `POST /v1/sessions/{session_id}/fork`."""

    title: str | None = None


class Interrupted(Struct, kw_only=True):
    """The answer to an interrupt; `interrupted` says whether a turn ran."""

    id: str
    object: str = "session"
    interrupted: bool


CREATE_PROJECT: Fields[CreateProject] = Fields(
    CreateProject,
    honoured={
        "path": "the directory, relative to the server's root; if it is missing it is "
        "made, with the Jupyter server's own token or login",
        "name": "the last name of the path if there is none",
        "description": "any text",
    },
)
UPDATE_PROJECT: Fields[UpdateProject] = Fields(
    UpdateProject,
    honoured={
        "name": "another name",
        "description": "another description",
        "path": "where the directory is now; its sessions are taken along, trust in it "
        "is not",
        "trusted": "whether the directory's hooks, MCP servers, environment and key "
        "helpers take effect; only with the Jupyter server's own token or login",
    },
)
CREATE_SESSION: Fields[CreateSession] = Fields(
    CreateSession,
    honoured={
        "project_id": "the id or path of its project; none is a chat without tools",
        "system": "the system prompt, unless a request brings one; in a project it "
        "comes after Claude Code's own",
        "model": "the model, unless a request names one",
        "title": "what lists show; without one, how it begins",
    },
)
UPDATE_SESSION: Fields[UpdateSession] = Fields(
    UpdateSession, honoured={"title": "another title"}
)
FORK_SESSION: Fields[ForkSession] = Fields(
    ForkSession, honoured={"title": "the title of the copy"}
)


def check_fields(**fields: str | None) -> dict[str, str]:
    """`fields`, with an empty text for each that is None.

    Raises
    ------
    InvalidRequest
        A text is too long.
    """
    limits = {
        "title": 500,
        "model": 200,
        "system": 200_000,
        "name": 500,
        "description": 10_000,
    }
    for name, text in fields.items():
        if text is not None and len(text) > limits[name]:
            raise InvalidRequest(
                f"`{name}`: at most {limits[name]} characters.", param=name
            )
    return {name: text or "" for name, text in fields.items()}


def usage_of(totals: Totals) -> ResourceUsage:
    """The object of the store's sums."""
    return ResourceUsage(
        turns=totals.turns,
        input_tokens=totals.tokens.input,
        output_tokens=totals.tokens.output,
        cache_read_input_tokens=totals.tokens.cache_read,
        cache_creation_input_tokens=totals.tokens.cache_creation,
        cost_usd=totals.cost_usd,
    )


def project_object(project: Project, path: str, trusted: bool) -> ProjectObject:
    """The object of a project; `path` is relative to the root."""
    used = project.last_used_at
    return ProjectObject(
        id=project.id,
        name=project.name,
        description=project.description,
        path=path,
        trusted=trusted,
        created=int(project.created_at),
        last_used=None if used is None else int(used),
        sessions=project.sessions,
        usage=usage_of(project.totals),
    )


def session_object(record: SessionRecord) -> SessionObject:
    """The object of a session."""
    return SessionObject(**_session_fields(record))


def session_with_messages(
    record: SessionRecord, messages: list[dict[str, Any]]
) -> SessionWithMessages:
    """The object of a session with its messages."""
    return SessionWithMessages(**_session_fields(record), messages=messages)


def _session_fields(record: SessionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "title": record.title,
        "project_id": record.project_id,
        "model": record.model,
        "system": record.system,
        "created": int(record.created_at),
        "last_used": int(record.updated_at),
        "usage": usage_of(record.totals),
        "resume_command": f"claude --resume {record.id}",
    }
