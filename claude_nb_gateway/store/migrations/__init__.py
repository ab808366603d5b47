"""Migrations: they bring a database to the current schema, step by step."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ...errors import StoreUnavailable
from ..database_errors import NEWER

# Any number is fine, as long as all servers use the same.
_LOCK = 0x636E6267


def migrate(connection: Connection, revision: str = "head", tenant: str = "") -> None:
    """Bring the database of `connection` to `revision`, within its transaction.

    In SQLite foreign keys must be off, since tables are created again. Rows from
    before there were tenants become rows of `tenant`.

    Raises
    ------
    StoreUnavailable
        The database has a schema that this version does not know.
    """
    if connection.dialect.name == "postgresql":
        # In SQLite, BEGIN IMMEDIATE has locked out other servers already.
        statement = text("SELECT pg_advisory_xact_lock(:lock)")
        connection.execute(statement, {"lock": _LOCK})
    config = _config(connection)
    config.attributes["tenant"] = tenant
    script = ScriptDirectory.from_config(config)
    found = set(MigrationContext.configure(connection).get_current_heads())
    if found == {script.get_current_head()}:
        return
    if unknown := found - {step.revision for step in script.walk_revisions()}:
        raise StoreUnavailable(NEWER, detail=f"schema revision {sorted(unknown)}")
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    command.upgrade(config, revision)


def _config(connection: Connection) -> Config:
    config = Config()
    # In Alembic's configuration % has a meaning.
    location = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
