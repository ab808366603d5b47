"""The current schema. A change here needs a migration; a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class StorableText(TypeDecorator[str]):
    """Text without what databases refuse: NUL, and halves of surrogate pairs."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text to store for `value` (see SQLAlchemy's TypeDecorator)."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "").encode(errors="replace").decode()


def _counters() -> list[Column[int] | Column[float]]:
    # Stored beside what they count, so that a list need not add up turns.
    names = ["turns", *TOKENS]
    counts = [
        Column(name, BigInteger, nullable=False, server_default="0") for name in names
    ]
    return [*counts, Column("cost_usd", Double, nullable=False, server_default="0")]


TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
)
COUNTERS = ("turns", *TOKENS, "cost_usd")


def _tenant() -> Column[str]:
    return Column("tenant", StorableText, nullable=False, server_default="")


def columns_of(table: Table) -> list[Column[Any]]:
    """The columns of a record: all except the tenant, which only the store knows."""
    return [column for column in table.c if column.name != "tenant"]


# The columns have the order of the fields of the records; the counters are last.
projects = Table(
    "projects",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("directory", StorableText, nullable=False),
    Column("name", StorableText, nullable=False),
    Column("description", StorableText, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double),
    *_counters(),
    _tenant(),
    UniqueConstraint("tenant", "directory"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", StorableText, nullable=False),
    Column("owner", StorableText, nullable=False),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE")),
    Column("title", StorableText, nullable=False),
    Column("model", StorableText, nullable=False),
    Column("system", StorableText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("last_uuid", StorableText, nullable=False),
    *_counters(),
    _tenant(),
    # Not the id alone: a copy of a home directory has the same sessions.
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "updated_at", "id"),
    Index(None, "project_id", "updated_at", "id"),
    Index(None, "tenant", "owner", "updated_at", "id"),
)

# Turns outlive their session: they show what was spent.
turns = Table(
    "turns",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("model", StorableText, nullable=False),
    Column("outcome", StorableText, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("duration_seconds", Double, nullable=False),
    Column("first_token_seconds", Double),
    *(Column(name, BigInteger, nullable=False) for name in TOKENS),
    Column("cost_usd", Double, nullable=False),
    Column("session_id", StorableText),
    Column("project_id", ForeignKey("projects.id", ondelete="SET NULL"), index=True),
    Column("key_id", StorableText),
    _tenant(),
    Index(None, "started_at"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("name", StorableText, nullable=False),
    Column("hash", StorableText, nullable=False),
    # Not a foreign key: when the project is deleted, the key must open nothing. With
    # NULL here it would open all projects.
    Column("project_id", StorableText),
    Column("tools", JSON(none_as_null=True)),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
    *_counters(),
    _tenant(),
)
