"""What is stored, as plain records.

Times are seconds since the epoch, money is US dollars. None of them can be part of
a cycle, so the garbage collector need not look at thousands of them; at projects it
does, since there are few, and only what it looks at may be referred to weakly.
"""

from __future__ import annotations

import secrets

from msgspec import Struct, field


class Tokens(Struct, frozen=True, gc=False):
    """Numbers of tokens; those read from and written to the cache are extra."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_creation: int = 0


class Totals(Struct, gc=False):
    """The sum of some turns."""

    turns: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: float = 0.0


class Project(Struct, weakref=True):
    """A directory that sessions work in; `directory` is absolute.

    `sessions` is how many there are now, `totals` is of all turns there ever were.
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
    """A session of the CLI, whose UUID is its `id`; `owner` is who began it.

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
    """An API key, of which only the SHA-256 is known, in hex.

    It is good for one project, or for all when `project_id` is None; for the named
    `tools`, or for those of any key that names none when they are None.
    `last_used_at` is when its last turn began.
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


def new_project_id() -> str:
    """``proj_`` and 24 random hexadecimal digits."""
    return f"proj_{secrets.token_hex(12)}"
