"""Converts records to rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, structs

from .records import KeyRecord, Project, SessionRecord, Tokens, Totals, TurnRecord
from .tables import TOKENS


def row_of(tenant: str, record: Struct) -> dict[str, Any]:
    """The columns of a project, a session or a key of `tenant`, by name."""
    row = structs.asdict(record)
    row.pop("sessions", None)
    totals: Totals = row.pop("totals")
    return row | {
        "tenant": tenant,
        "turns": totals.turns,
        **token_columns(totals.tokens),
        "cost_usd": totals.cost_usd,
    }


def turn_row(tenant: str, turn_id: str, turn: TurnRecord) -> dict[str, Any]:
    """The columns of a turn of `tenant`, by name."""
    row = structs.asdict(turn)
    return row | {"tenant": tenant, "id": turn_id, **token_columns(row.pop("tokens"))}


def token_columns(tokens: Tokens) -> dict[str, int]:
    """The columns for the numbers of tokens, by name."""
    return dict(zip(TOKENS, structs.astuple(tokens), strict=True))


def project_from(row: Sequence[Any]) -> Project:
    """The project in a row of `projects`, which ends with the number of sessions."""
    return Project(*(*row[:7], row[13], _totals(row, 7)))


def session_from(row: Sequence[Any]) -> SessionRecord:
    """The session in a row of `sessions`."""
    return SessionRecord(*(*row[:9], _totals(row, 9)))


def key_from(row: Sequence[Any]) -> KeyRecord:
    """The key in a row of `keys`."""
    tools = None if row[4] is None else tuple(row[4])
    return KeyRecord(*(*row[:4], tools, *row[5:9], _totals(row, 9)))


def _totals(row: Sequence[Any], at: int) -> Totals:
    return Totals(row[at], Tokens(*row[at + 1 : at + 5]), row[at + 5])
