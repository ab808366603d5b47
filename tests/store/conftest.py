from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from claude_nb_gateway.store.records import Project, SessionRecord, Tokens, TurnRecord
from claude_nb_gateway.store.store import Store

INSTALL = (
    "no PostgreSQL to test with: install it (`apt-get install postgresql`), or "
    "`pip install pgserver`"
)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server of the test run's own; the address but for the database."""
    programs = postgresql_programs()
    # The path of a socket must be short.
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    as_user = {"cwd": directory}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        user = pwd.getpwnam("nobody")
        os.chown(directory, user.pw_uid, user.pw_gid)
        as_user |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(program, *arguments):
        command = [programs / program, "-D", directory / "data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **as_user)

    run("initdb", "-A", "trust", "-U", "gateway", "-N", "-E", "UTF8", "--locale=C")
    options = f"-F -k {directory} -c listen_addresses=''"
    run("pg_ctl", "start", "-w", "-l", directory / "log", "-o", options)
    try:
        yield f"postgresql://gateway@/{{}}?host={directory}"
    finally:
        run("pg_ctl", "stop", "-w", "-m", "immediate")
        shutil.rmtree(directory)


def postgresql_programs() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if paths := sorted(installed, key=lambda path: float(path.parts[-3])):
        return paths[-1].parent
    if spec := importlib.util.find_spec("pgserver"):
        return Path(spec.origin).parent / "pginstall" / "bin"
    pytest.fail(INSTALL)


@pytest.fixture
def postgresql_url(postgresql_server) -> str:
    return new_database(postgresql_server)


def new_database(postgresql_server) -> str:
    name = f"test_{uuid4().hex}"
    address = postgresql_server.format("postgres")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgresql_server.format(name)


@pytest.fixture
def sqlite_path(tmp_path) -> Path:
    return tmp_path / "data" / "gateway.db"


@pytest.fixture
def sqlite_url(sqlite_path) -> str:
    return f"sqlite:///{sqlite_path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request) -> str:
    """An empty database, of each kind."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def make():
    """Make stores; they are closed."""
    stores = []

    def make(database_url, **config):
        config = {"busy_timeout_seconds": 0.1, "retry_seconds": 0} | config
        stores.append(Store(database_url=database_url, **config))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
def store(make, url) -> Store:
    return make(url, busy_timeout_seconds=5)


def project(name="p", **fields):
    directory = fields.pop("directory", f"/work/{name}")
    return Project(f"proj_{name}", directory, name, **fields)


def session(name, **fields):
    return SessionRecord(name, fields.pop("owner", "ann"), **fields)


def turn(**fields):
    required = {
        "owner": "ann",
        "model": "sonnet",
        "outcome": "ok",
        "started_at": 100.0,
        "duration_seconds": 2.0,
        "tokens": Tokens(1, 2, 3, 4),
        "cost_usd": 0.5,
    }
    return TurnRecord(**(required | fields))
