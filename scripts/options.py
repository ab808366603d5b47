"""Write the table of options in README from the traits: `options.py [--check] FILE`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from claude_nb_gateway.app import GatewayApp
from claude_nb_gateway.claude.manager import CLIManager
from claude_nb_gateway.claude.models import ModelCatalog
from claude_nb_gateway.magics.magics import ClaudeMagics

BEGIN, END = "<!-- options: begin -->", "<!-- options: end -->"
# Computed from the machine, so that a literal would be wrong elsewhere.
COMPUTED = {"max_processes": "from memory"}


def table() -> str:
    """A Markdown table of every configurable trait of ours."""
    rows = ["| option | default | meaning |", "| --- | --- | --- |"]
    for cls in (GatewayApp, CLIManager, ModelCatalog, ClaudeMagics):
        for name, trait in sorted(cls.class_own_traits(config=True).items()):
            default = COMPUTED.get(name) or f"`{trait.default_value_repr()}`"
            if len(default) > 40:
                default = "(a list)"
            meaning = " ".join(trait.help.split())
            rows.append(f"| `{cls.__name__}.{name}` | {default} | {meaning} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Replace the table in the file, or with --check say whether it is current."""
    path = Path(arguments[-1])
    text = path.read_text()
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.S)
    current = pattern.sub(lambda m: m[1] + table() + "\n" + m[2], text)
    if "--check" in arguments:
        if current != text:
            print(f"the options in {path} are out of date: run `make format`")
        return int(current != text)
    path.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
