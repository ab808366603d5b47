"""The tenant of each row, for a database that several servers share.

Existing rows become rows of the tenant whose server runs this migration. It is not
known who trusted their projects. So in a shared database no project stays trusted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("projects", "sessions", "turns", "keys")


def upgrade() -> None:
    """Add the tenant to every row, and to what has to be unique."""
    tenant = context.config.attributes.get("tenant", "")
    for table in TABLES:
        column = sa.Column("tenant", sa.Text, nullable=False, server_default="")
        op.add_column(table, column)
        if tenant:
            rows = sa.table(table, sa.column("tenant"))
            op.execute(rows.update().values(tenant=tenant))
    if tenant:
        projects = sa.table("projects", sa.column("trusted", sa.Boolean))
        op.execute(projects.update().values(trusted=False))
    _be_unique(["tenant", "directory"], ["tenant", "id"])
    _index_sessions_by(["tenant", "updated_at", "id"], ["updated_at", "id"])
    _index_sessions_by(
        ["tenant", "owner", "updated_at", "id"], ["owner", "updated_at", "id"]
    )


def downgrade() -> None:
    """Remove the tenants; there must be only one."""
    _index_sessions_by(
        ["owner", "updated_at", "id"], ["tenant", "owner", "updated_at", "id"]
    )
    _index_sessions_by(["updated_at", "id"], ["tenant", "updated_at", "id"])
    _be_unique(["directory"], ["id"])
    for table in TABLES:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("tenant")


def _be_unique(project: list[str], session: list[str]) -> None:
    old, new = "uq_projects_directory", "uq_projects_tenant_directory"
    if "tenant" not in project:
        old, new = new, old
    with op.batch_alter_table("projects") as projects:
        projects.drop_constraint(op.f(old), type_="unique")
        projects.create_unique_constraint(op.f(new), project)
    with op.batch_alter_table("sessions") as sessions:
        sessions.drop_constraint(op.f("pk_sessions"), type_="primary")
        sessions.create_primary_key(op.f("pk_sessions"), session)


def _index_sessions_by(columns: list[str], before: list[str]) -> None:
    op.drop_index(op.f(f"ix_sessions_{'_'.join(before)}"), "sessions")
    op.create_index(op.f(f"ix_sessions_{'_'.join(columns)}"), "sessions", columns)
