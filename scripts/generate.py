"""Write the parts of the documentation that come from the code.

Usage: `generate.py [--check]`. Each part is between two comments in its file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from claude_nb_gateway.access.rights import as_table
from claude_nb_gateway.api.bodies import Bodies
from claude_nb_gateway.api.compactions import Compactions
from claude_nb_gateway.api.images import ImageFetcher
from claude_nb_gateway.api.resources import (
    CREATE_PROJECT,
    CREATE_SESSION,
    FORK_SESSION,
    UPDATE_PROJECT,
    UPDATE_SESSION,
)
from claude_nb_gateway.api.stored_responses import ResponseStore
from claude_nb_gateway.app import GatewayApp
from claude_nb_gateway.claude_code.manager import CLIManager
from claude_nb_gateway.claude_code.models import ModelCatalog
from claude_nb_gateway.notebook.magics import ClaudeMagics
from claude_nb_gateway.store.store import Store
from claude_nb_gateway.turn.schemas import SchemaChecker
from claude_nb_gateway.wire.chat.completions import COMPLETION
from claude_nb_gateway.wire.chat.request import CHAT_COMPLETION
from claude_nb_gateway.wire.fields import Fields
from claude_nb_gateway.wire.messages.request import COUNT_TOKENS, MESSAGES
from claude_nb_gateway.wire.responses.compaction import COMPACT
from claude_nb_gateway.wire.responses.request import RESPONSE
from claude_nb_gateway.workspace.projects import Projects

ROOT = Path(__file__).parents[1]

CONFIGURABLES = (
    GatewayApp,
    Bodies,
    CLIManager,
    ModelCatalog,
    Projects,
    Store,
    ImageFetcher,
    ResponseStore,
    Compactions,
    SchemaChecker,
    ClaudeMagics,
)
# These defaults depend on the machine.
COMPUTED = {"max_processes": "from memory"}


def options() -> str:
    """A Markdown table of all our configurable traits."""
    rows = ["| option | default | meaning |", "| --- | --- | --- |"]
    for cls in CONFIGURABLES:
        for name, trait in sorted(cls.class_own_traits(config=True).items()):
            default = COMPUTED.get(name) or f"`{trait.default_value_repr()}`"
            if len(default) > 40:
                default = "(a list)"
            meaning = " ".join(trait.help.split())
            rows.append(f"| `{cls.__name__}.{name}` | {default} | {meaning} |")
    return "\n".join(rows)


def rights() -> str:
    """A Markdown table of what each identity may do."""
    heading, *rows = as_table()
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def fields(described: Fields) -> Callable[[], str]:
    """A Markdown table of what each field of a request does."""

    def table() -> str:
        rows = ["| field | what becomes of it |", "| --- | --- |"]
        rows += [f"| `{n}` | {note} |" for n, note in described.honoured.items()]
        rows += [f"| `{n}` | no effect, reported |" for n in described.without_effect]
        rows += [
            f"| `{n}` | refused. {remedy} |"
            for n, (_, remedy) in described.refused.items()
        ]
        return "\n".join(rows)

    return table


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"options": options},
    "SECURITY.md": {"rights": rights},
    "docs/requests.md": {
        "chat completions": fields(CHAT_COMPLETION),
        "responses": fields(RESPONSE),
        "compact": fields(COMPACT),
        "messages": fields(MESSAGES),
        "count tokens": fields(COUNT_TOKENS),
        "completions": fields(COMPLETION),
        "create project": fields(CREATE_PROJECT),
        "update project": fields(UPDATE_PROJECT),
        "create session": fields(CREATE_SESSION),
        "update session": fields(UPDATE_SESSION),
        "fork session": fields(FORK_SESSION),
    },
}


def current(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """`text` with each of `parts` generated again."""
    for name, make in parts.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        pattern = re.compile(f"({re.escape(begin)}).*?({re.escape(end)})", re.S)
        made = make()
        text, found = pattern.subn(lambda m, s=made: f"{m[1]}{s}\n{m[2]}", text)
        if found != 1:
            raise SystemExit(f"there is no place for {name!r}")
    return text


def main(arguments: list[str]) -> int:
    """Write the parts; with --check only report those that are out of date."""
    stale = 0
    for name, parts in PARTS.items():
        path = ROOT / name
        text = path.read_text()
        if (made := current(text, parts)) == text:
            continue
        if "--check" in arguments:
            print(f"{name} is out of date: run `make format`")
            stale = 1
        else:
            path.write_text(made)
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
