"""What is stored, as plain records.

Times are seconds since the epoch; money is in US dollars. No record can be part of a
reference cycle. So the garbage collector may ignore them (`gc=False`), of which there
can be thousands. It does not ignore projects: only so can they have weak references.
"""

from __future__ import annotations

import re
import secrets

from msgspec import Struct, field


class Tokens(Struct, frozen=True, gc=False):
    """Numbers of tokens. `input` excludes those read from or written to the cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_creation: int = 0


class Totals(Struct, gc=False):
    """The sums of some turns."""

    turns: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: float = 0.0


class Project(Struct, weakref=True):
    """A directory in which sessions work; `directory` is absolute.

    `sessions` is their current number; `totals` are the sums of all turns ever.
    """

    id: str
    directory: str
    name: str
    description: str = ""
    trusted: bool = False
    created_at: float = 0.0
    last_used_at: float | None = None
    sessions: int = 0
    totals: Totals = field(default_factory=Totals)


class SessionRecord(Struct, gc=False):
    """A session of the CLI; `id` is its UUID, and `owner` is who started it.

    `last_uuid` is the CLI's id of the last message.
    """

    id: str
    owner: str
    project_id: str | None = None
    title: str = ""
    model: str = ""
    system: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    last_uuid: str = ""
    totals: Totals = field(default_factory=Totals)


class TurnRecord(Struct, gc=False):
    """One request and its answer; `outcome` is how it ended."""

    owner: str
    model: str
    outcome: str
    started_at: float
    duration_seconds: float
    first_token_seconds: float | None = None
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: float = 0.0
    session_id: str | None = None
    project_id: str | None = None
    key_id: str | None = None


class KeyRecord(Struct, gc=False):
    """An API key. `hash` is its SHA-256 in hex; the key itself is not stored.

    The key opens one project; if `project_id` is None, it opens all. It may use
    `tools`; if they are None, it may use `Projects.key_tools`. `last_used_at` is the
    time when its last turn started.
    """

    id: str
    name: str
    hash: str
    project_id: str | None = None
    tools: tuple[str, ...] | None = None
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    totals: Totals = field(default_factory=Totals)


#: The form of the ids of `new_project_id`.
PROJECT_ID = re.compile("proj_[0-9a-f]{24}")


def new_project_id() -> str:
    """``proj_`` and 24 random hexadecimal digits."""
    return f"proj_{secrets.token_hex(12)}"
