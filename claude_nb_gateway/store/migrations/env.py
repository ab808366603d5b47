"""Run by Alembic for each command, on the connection that it is handed."""

from __future__ import annotations

from alembic import context

from claude_nb_gateway.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot change much of a table that is there
)
with context.begin_transaction():
    context.run_migrations()
