"""The SQL statements, without a connection."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from .records import TurnRecord
from .rows import token_columns
from .tables import COUNTERS, columns_of, keys, projects, sessions, turns

_SESSIONS_OF_PROJECT = (
    select(func.count())
    .select_from(sessions)
    .where(sessions.c.project_id == projects.c.id)
    .scalar_subquery()
)

ALL_PROJECTS = select(*columns_of(projects), _SESSIONS_OF_PROJECT)
ALL_SESSIONS = select(*columns_of(sessions))
ALL_KEYS = select(*columns_of(keys))

# A project may be deleted before its turn is written.
INSERT_TURN = insert(turns).values(
    project_id=select(projects.c.id)
    .where(projects.c.id == bindparam("project_id"))
    .scalar_subquery()
)


def of_tenant(table: Table, tenant: str) -> ColumnElement[bool]:
    """Whether a row belongs to `tenant`; every statement has this condition."""
    return table.c.tenant == tenant


def insert_if_new(table: Table, dialect: str) -> Insert:
    """Inserts rows, except those that conflict with a row that is there."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def projects_page(
    tenant: str, within: str, limit: int, after: str | None
) -> Select[Any]:
    """At most `limit` projects at or below `within`, the newest first.

    The page starts after the project `after`. It is empty if that does not exist.
    """
    statement = _page(ALL_PROJECTS, projects, "created_at", tenant, after)
    return statement.where(_at_or_below(within)).limit(limit)


def _at_or_below(within: str) -> ColumnElement[bool]:
    # Not LIKE: there % and _ are wildcards, and in SQLite A equals a.
    below = within.rstrip("/") + "/"
    start = func.substr(projects.c.directory, 1, len(below))
    return or_(projects.c.directory == within, start == below)


def sessions_page(
    tenant: str,
    project_ids: Collection[str] | None,
    owner: str | None,
    limit: int,
    after: str | None,
    ascending: bool,
) -> Select[Any]:
    """At most `limit` sessions: of the projects, and of `owner` without a project.

    If both are None, they are all sessions. The page starts after the session
    `after`. It is empty if that does not exist.
    """
    page = _page(ALL_SESSIONS, sessions, "updated_at", tenant, after, ascending)
    statement = page.limit(limit)
    visible: list[ColumnElement[bool]] = []
    if project_ids is not None:
        visible.append(sessions.c.project_id.in_(project_ids))
    if owner is not None:
        visible.append(sessions.c.project_id.is_(None) & (sessions.c.owner == owner))
    return statement.where(or_(*visible)) if visible else statement


def _page(
    statement: Select[Any],
    table: Table,
    order: str,
    tenant: str,
    after: str | None,
    ascending: bool = False,
) -> Select[Any]:
    time, identity = table.c[order], table.c.id
    own = of_tenant(table, tenant)
    statement = statement.where(own)
    key = tuple_(time, identity)
    if after is not None:
        mark = tuple_(
            select(time).where(own, identity == after).scalar_subquery(),
            bindparam("after", after, type_=identity.type),
        )
        statement = statement.where(key > mark if ascending else key < mark)
    if ascending:
        return statement.order_by(time, identity)
    return statement.order_by(time.desc(), identity.desc())


def adding(table: Table, time: str) -> Update:
    """Adds the parameters of `sums` to the row ``row_id``, if it still exists."""
    column, used = table.c[time], bindparam("used_at", type_=Double)
    later = case((or_(column.is_(None), column < used), used), else_=column)
    added = {name: table.c[name] + bindparam(f"added_{name}") for name in COUNTERS}
    return (
        update(table)
        .where(table.c.tenant == bindparam("row_tenant"))
        .where(table.c.id == bindparam("row_id"))
        .values({**added, time: later})
    )


def sums(
    tenant: str, records: Iterable[TurnRecord], field: str, *, ended: bool = False
) -> list[dict[str, Any]]:
    """The sums of the turns for each value of `field`, as parameters of `adding`.

    ``used_at`` is the time when the last turn started; with `ended`, when it ended.
    """
    found: dict[str, dict[str, Any]] = {}
    for turn in records:
        row_id = getattr(turn, field)
        if row_id is None:
            continue
        row = found.setdefault(row_id, _nothing(tenant, row_id))
        used_at = turn.started_at + (turn.duration_seconds if ended else 0)
        row["used_at"] = max(row["used_at"], used_at)
        row["added_turns"] += 1
        row["added_cost_usd"] += turn.cost_usd
        for name, number in token_columns(turn.tokens).items():
            row[f"added_{name}"] += number
    # Sorted, so that all servers lock rows in the same order: this avoids deadlocks.
    return [found[row_id] for row_id in sorted(found)]


def _nothing(tenant: str, row_id: str) -> dict[str, Any]:
    nothing = {f"added_{name}": 0 for name in COUNTERS}
    return {"row_tenant": tenant, "row_id": row_id, "used_at": 0.0, **nothing}
