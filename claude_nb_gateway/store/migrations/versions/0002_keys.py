"""Keys, and the key that each turn was asked with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of keys; earlier turns have no key."""
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text),
        sa.Column("tools", sa.JSON),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.Column("last_used_at", sa.Double),
        *_counters(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
    )
    with op.batch_alter_table("turns") as turns:
        turns.add_column(sa.Column("key_id", sa.Text))


def downgrade() -> None:
    """Drop the table of keys."""
    with op.batch_alter_table("turns") as turns:
        turns.drop_column("key_id")
    op.drop_table("keys")


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
