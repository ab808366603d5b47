"""Projects, sessions and turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "projects",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("last_used_at", sa.Double),
        *_counters(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("directory", name=op.f("uq_projects_directory")),
    )
    _create_sessions()
    _create_turns()


def downgrade() -> None:
    """Drop the tables."""
    for table in ("turns", "sessions", "projects"):
        op.drop_table(table)


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("last_uuid", sa.Text, nullable=False),
        *_counters(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        _project_reference("sessions", ondelete="CASCADE"),
    )
    order = ["updated_at", "id"]
    for columns in (order, ["project_id", *order], ["owner", *order]):
        name = f"ix_sessions_{'_'.join(columns)}"
        op.create_index(op.f(name), "sessions", columns)


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("duration_seconds", sa.Double, nullable=False),
        sa.Column("first_token_seconds", sa.Double),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_creation_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.Double, nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("project_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turns")),
        _project_reference("turns", ondelete="SET NULL"),
    )
    for column in ("started_at", "project_id"):
        op.create_index(op.f(f"ix_turns_{column}"), "turns", [column])


def _project_reference(table: str, ondelete: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_project_id_projects")
    columns = ["project_id"], ["projects.id"]
    return sa.ForeignKeyConstraint(*columns, name=name, ondelete=ondelete)


def _counters() -> list[sa.Column[int] | sa.Column[float]]:
    names = (
        "turns",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_creation_tokens",
    )
    counts = [
        sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        for name in names
    ]
    cost = sa.Column("cost_usd", sa.Double, nullable=False, server_default="0")
    return [*counts, cost]
