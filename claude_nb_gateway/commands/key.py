"""The command `jupyter claude-gateway key`: makes, lists and revokes API keys."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from jupyter_core.application import JupyterApp
from traitlets import Bool, Unicode

from ..access.keys import new_key
from ..errors import GatewayError, InvalidRequest
from ..store.records import PROJECT_ID, KeyRecord, Project, Tokens, new_project_id
from ..store.store import Store
from .base import Command

MAX_NAME_CHARACTERS = 64
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
#: Maximum life of a key. A later date could not be printed.
MAX_EXPIRES_SECONDS = 1000 * 365 * UNIT_SECONDS["d"]
HEADINGS = (
    "ID",
    "NAME",
    "PROJECT",
    "TOOLS",
    "EXPIRES",
    "REVOKED",
    "LAST USED",
    "TURNS",
    "TOKENS",
    "COST",
)

# An error is printed once, as the last line, and not logged too.
_QUIET = logging.getLogger(f"{__name__}.quiet")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class StoreCommand(Command):
    """A command on the database of the servers with the same configuration."""

    classes = [Store]

    def start(self) -> None:
        """Run the command; print an error as one line and exit with status 1."""
        super().start()
        try:
            asyncio.run(self._run())
        except GatewayError as error:
            detail = f" ({error.detail})" if error.detail else ""
            print(" ".join(f"{error.message}{detail}".split()), file=sys.stderr)
            self.exit(1)

    async def _run(self) -> None:
        store = Store(parent=self, log=_QUIET)
        try:
            await self.run(store)
        finally:
            await store.close()

    async def run(self, store: Store) -> None:
        """Do what the command is for.

        Raises
        ------
        GatewayError
        """
        raise NotImplementedError

    def _no_arguments(self) -> None:
        if self.extra_args:
            raise InvalidRequest(f"Unknown argument {self.extra_args[0]!r}.")


class CreateKeyApp(StoreCommand):
    """`key create`: prints the key, which is never shown again."""

    name = "jupyter-claude-gateway-key-create"
    description = "Make an API key and print it; only its hash is kept."
    examples = "jupyter claude-gateway key create --name ci --project . --expires 30d"
    aliases = {
        "name": "CreateKeyApp.key_name",
        "project": "CreateKeyApp.project",
        "expires": "CreateKeyApp.expires",
        "tools": "CreateKeyApp.tools",
    }

    key_name = Unicode("", config=True, help="Name of the key.")
    project = Unicode(
        "",
        config=True,
        help="""The only project that the key opens: its id, or a directory, which
        becomes a project.""",
    )
    expires = Unicode(
        "",
        config=True,
        help="""Time after which the key expires: a number followed by s, m, h, d or
        w.""",
    )
    tools = Unicode(
        "",
        config=True,
        help="""The only tools that requests with the key may use, separated by commas.
        By default these are Projects.key_tools. Bash is a shell of the user.""",
    )

    async def run(self, store: Store) -> None:
        """Make the key and print it."""
        self._no_arguments()
        now = time.time()
        expires_at = expiry(self.expires, now) if self.expires else None
        tools = tool_names(self.tools) if self.tools else None
        await _check_name(store, self.key_name)
        project = await _project(store, self.project) if self.project else None
        text, key_id, key_hash = new_key()
        key = KeyRecord(key_id, self.key_name, key_hash, None, tools, now, expires_at)
        key.project_id = project.id if project else None
        await store.add_key(key)
        print(text)
        where = f" for {project.directory}" if project else ""
        note = f"Key {key_id} ({key.name}){where}: it is not shown again."
        print(note, file=sys.stderr)


class ListKeysApp(StoreCommand):
    """`key list`: a table of all keys."""

    name = "jupyter-claude-gateway-key-list"
    description = "List the API keys and their usage."
    flags = {"json": ({"ListKeysApp": {"as_json": True}}, "Print JSON.")}

    as_json = Bool(
        False,
        config=True,
        help="""Print a JSON array of objects: the fields of a key without its hash, and
        the directory of its project. Times are Unix seconds.""",
    )

    async def run(self, store: Store) -> None:
        """Print the table."""
        self._no_arguments()
        keys = await store.keys()
        directories = {}
        for project_id in {key.project_id for key in keys} - {None}:
            project = await store.project(str(project_id))
            directories[project_id] = project.directory if project else None
        if self.as_json:
            objects = [_as_object(key, directories.get(key.project_id)) for key in keys]
            print(msgspec.json.format(msgspec.json.encode(objects)).decode())
        else:
            rows = [_as_row(key, directories.get(key.project_id)) for key in keys]
            print("\n".join(_aligned([HEADINGS, *rows])))


class RevokeKeyApp(StoreCommand):
    """`key revoke`: makes a key invalid."""

    name = "jupyter-claude-gateway-key-revoke"
    description = "Revoke an API key, by its id or name."
    examples = "jupyter claude-gateway key revoke ci"

    async def run(self, store: Store) -> None:
        """Revoke the key."""
        if len(self.extra_args) != 1:
            raise InvalidRequest("Give the id or the name of one key.")
        (wanted,) = self.extra_args
        valid = [key for key in await store.keys() if key.revoked_at is None]
        found = [key for key in valid if key.id == wanted]
        found = found or [key for key in valid if key.name == wanted]
        if not found:
            raise InvalidRequest(f"There is no valid key {wanted!r}.")
        if len(found) > 1:
            ids = ", ".join(key.id for key in found)
            raise InvalidRequest(f"Several keys are named {wanted!r}: {ids}.")
        await store.revoke_key(found[0].id, time.time())
        print(f"Revoked key {found[0].id} ({found[0].name}).", file=sys.stderr)


class KeyApp(JupyterApp):
    """`key`: its commands."""

    name = "jupyter-claude-gateway-key"
    description = "API keys of the gateway: make, list and revoke them."
    subcommands = {
        "create": (CreateKeyApp, CreateKeyApp.description),
        "list": (ListKeysApp, ListKeysApp.description),
        "revoke": (RevokeKeyApp, RevokeKeyApp.description),
    }

    def start(self) -> None:
        """Run the command; without one name those that exist."""
        super().start()
        print(f"Name a command: {', '.join(self.subcommands)}.", file=sys.stderr)
        self.exit(1)


def expiry(text: str, now: float) -> float:
    """The time at which a key expires that is made `now` for `text`, say ``30d``.

    Both times are Unix seconds.

    Raises
    ------
    InvalidRequest
        `text` is not a number of s, m, h, d or w, or it is too long.
    """
    found = re.fullmatch(r"([0-9]{1,12})([smhdw])", text)
    seconds = int(found[1]) * UNIT_SECONDS[found[2]] if found else 0
    if not 0 < seconds <= MAX_EXPIRES_SECONDS:
        raise InvalidRequest(
            f"--expires {text!r} is no time: use a number followed by s, m, h, d or "
            "w, like 30d."
        )
    return now + seconds


def tool_names(text: str) -> tuple[str, ...]:
    """The names of tools in `text`, which are separated by commas.

    Raises
    ------
    InvalidRequest
        One of them cannot be the name of a tool.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise InvalidRequest(f"--tools: {name!r} is not the name of a tool.")
    return names


async def _check_name(store: Store, name: str) -> None:
    if not name or name != name.strip() or not name.isprintable():
        raise InvalidRequest("Give the key a --name of printable characters.")
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(
            f"The name is longer than {MAX_NAME_CHARACTERS} characters."
        )
    for key in await store.keys():
        if key.name == name and key.revoked_at is None:
            raise InvalidRequest(
                f"There is a key named {name!r}: revoke it, or take another name."
            )


async def _project(store: Store, text: str) -> Project:
    if PROJECT_ID.fullmatch(text):
        found = await store.project(text)
        if found is None:
            raise InvalidRequest(f"There is no project {text!r}.")
        return found
    path = await asyncio.to_thread(_directory, text)
    if path is None:
        raise InvalidRequest(
            f"--project {text!r} is neither the id of a project nor a directory."
        )
    name = path.name or str(path)
    project = Project(new_project_id(), str(path), name, created_at=time.time())
    return await store.add_project(project)


def _directory(text: str) -> Path | None:
    path = Path(text).expanduser().resolve()
    return path if path.is_dir() else None


def _as_object(key: KeyRecord, directory: str | None) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(key)
    del found["hash"]
    return found | {"directory": directory}


def _as_row(key: KeyRecord, directory: str | None) -> tuple[str, ...]:
    project = directory or ("deleted" if key.project_id else "any")
    return (
        key.id,
        key.name,
        project,
        "default" if key.tools is None else ",".join(key.tools),
        _moment(key.expires_at),
        _moment(key.revoked_at),
        _moment(key.last_used_at),
        str(key.totals.turns),
        str(_total(key.totals.tokens)),
        f"${key.totals.cost_usd:.2f}",
    )


def _total(tokens: Tokens) -> int:
    return sum(msgspec.structs.astuple(tokens))


def _moment(at: float | None) -> str:
    if at is None:
        return "-"
    return datetime.fromtimestamp(at).isoformat(sep=" ", timespec="minutes")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return [line.rstrip() for line in lines]


if __name__ == "__main__":
    KeyApp.launch_instance()
