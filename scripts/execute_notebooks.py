"""Run the example notebooks in place, against a gateway with canned answers."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from claude_nb_gateway.testing.server import STANDALONE, running_gateway

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

# These fields change with every execution.
VOLATILE = ("session", "cost_usd")


def main() -> None:
    """Execute and save every notebook; stop at a cell that fails unexpectedly."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with running_gateway(directory, "", "--demo", command=STANDALONE) as gateway:
            key_file = directory / "key"
            key_file.write_text(gateway.key)
            os.environ["CLAUDE_GATEWAY_URL"] = gateway.base_url
            os.environ["CLAUDE_GATEWAY_KEY_FILE"] = str(key_file)
            for path in sorted(NOTEBOOKS.glob("*.ipynb")):
                print(path.name, flush=True)
                execute(path)


def execute(path: Path) -> None:
    """Execute the notebook at `path`, and save it without the volatile fields."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, resources=resources, timeout=120).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            for field in VOLATILE:
                output.get("metadata", {}).get("claude", {}).pop(field, None)
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    sys.exit(main())
