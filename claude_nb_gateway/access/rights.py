"""The one table that decides what each identity may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum


class Identity(StrEnum):
    """The kinds of callers; the value is the name in messages."""

    SERVER = "the Jupyter server's own identity"
    KERNEL = "a kernel's key"
    KEY = "an API key"
    PROJECT_KEY = "an API key for one project"
    LOCAL = "a caller without a key"


class Resource(StrEnum):
    """The kinds of things that a request can be about."""

    CHAT = "a chat without a project"
    PROJECT = "a project"
    PROJECT_SESSION = "a session in a project"
    LONE_SESSION = "a session without a project"


class Action(StrEnum):
    """What a request wants to do with a resource."""

    ASK = "ask the model in"
    READ = "list and read"
    WORK = "work in"
    USE_ALL_TOOLS = "use the tools of `Projects.tools` in"
    USE_SETTINGS = (
        "use the user's settings, agents, skills and servers of Claude Code in"
    )
    USE_MEMORY = "use the user's memory, where `Projects.user_memory` lets it, in"
    MAKE_DIRECTORY = "make the missing directory of"
    CHANGE = "change"
    TRUST = "trust"
    CONTINUE = "continue"
    FORK = "fork"
    RENAME = "rename"
    INTERRUPT = "interrupt"
    DELETE = "delete"


class Reach(StrEnum):
    """With which resources of a kind an identity may do something."""

    NONE = "no"
    #: Those that the caller began itself.
    OWN = "its own"
    #: Those of the one directory that the caller is for: its project's or notebook's.
    DIRECTORY = "its directory's"
    ALL = "yes"


_ORDER = (
    Identity.SERVER,
    Identity.KERNEL,
    Identity.KEY,
    Identity.PROJECT_KEY,
    Identity.LOCAL,
)
_NO, _OWN, _DIR, _ALL = Reach.NONE, Reach.OWN, Reach.DIRECTORY, Reach.ALL

# A session from a terminal belongs to no caller, so `its own` does not include it.
_TABLE: dict[tuple[Resource, Action], tuple[Reach, Reach, Reach, Reach, Reach]] = {
    #                                             server kernel key  project keyless
    (Resource.CHAT, Action.ASK): (_ALL, _ALL, _ALL, _NO, _ALL),
    (Resource.PROJECT, Action.READ): (_ALL, _DIR, _ALL, _DIR, _ALL),
    (Resource.PROJECT, Action.WORK): (_ALL, _DIR, _ALL, _DIR, _ALL),
    (Resource.PROJECT, Action.USE_ALL_TOOLS): (_ALL, _DIR, _NO, _NO, _NO),
    (Resource.PROJECT, Action.USE_SETTINGS): (_ALL, _DIR, _NO, _NO, _NO),
    (Resource.PROJECT, Action.USE_MEMORY): (_ALL, _NO, _NO, _NO, _NO),
    (Resource.PROJECT, Action.MAKE_DIRECTORY): (_ALL, _NO, _NO, _NO, _NO),
    (Resource.PROJECT, Action.CHANGE): (_ALL, _NO, _NO, _NO, _NO),
    (Resource.PROJECT, Action.TRUST): (_ALL, _NO, _NO, _NO, _NO),
    (Resource.PROJECT, Action.DELETE): (_ALL, _NO, _NO, _NO, _NO),
    (Resource.PROJECT_SESSION, Action.READ): (_ALL, _DIR, _ALL, _DIR, _ALL),
    (Resource.PROJECT_SESSION, Action.CONTINUE): (_ALL, _DIR, _ALL, _DIR, _ALL),
    (Resource.PROJECT_SESSION, Action.FORK): (_ALL, _DIR, _ALL, _DIR, _ALL),
    (Resource.PROJECT_SESSION, Action.INTERRUPT): (_ALL, _OWN, _OWN, _OWN, _OWN),
    (Resource.PROJECT_SESSION, Action.RENAME): (_ALL, _NO, _OWN, _OWN, _OWN),
    (Resource.PROJECT_SESSION, Action.DELETE): (_ALL, _NO, _OWN, _OWN, _OWN),
    (Resource.LONE_SESSION, Action.READ): (_OWN, _OWN, _OWN, _NO, _OWN),
    (Resource.LONE_SESSION, Action.CONTINUE): (_OWN, _OWN, _OWN, _NO, _OWN),
    (Resource.LONE_SESSION, Action.FORK): (_OWN, _OWN, _OWN, _NO, _OWN),
    (Resource.LONE_SESSION, Action.INTERRUPT): (_OWN, _OWN, _OWN, _NO, _OWN),
    (Resource.LONE_SESSION, Action.RENAME): (_OWN, _NO, _OWN, _NO, _OWN),
    (Resource.LONE_SESSION, Action.DELETE): (_OWN, _NO, _OWN, _NO, _OWN),
}

#: The reach of each identity. A combination that is missing is not allowed.
RIGHTS: Mapping[tuple[Resource, Action], Mapping[Identity, Reach]] = {
    row: dict(zip(_ORDER, reaches, strict=True)) for row, reaches in _TABLE.items()
}


def reach(identity: Identity, resource: Resource, action: Action) -> Reach:
    """The resources of this kind with which `identity` may do `action`."""
    return RIGHTS.get((resource, action), {}).get(identity, Reach.NONE)


def as_table() -> Iterator[tuple[str, ...]]:
    """The rows of the table as texts, the heading first."""
    yield ("", *(str(identity) for identity in _ORDER))
    for (resource, action), reaches in RIGHTS.items():
        yield (f"{action} {resource}", *(str(reaches[who]) for who in _ORDER))
