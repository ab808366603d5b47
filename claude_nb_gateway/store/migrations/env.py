"""Alembic runs this for each command, on the connection that it gets."""

from __future__ import annotations

from alembic import context

from claude_nb_gateway.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can change little of an existing table
)
with context.begin_transaction():
    context.run_migrations()
