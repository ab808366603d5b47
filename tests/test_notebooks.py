from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from claude_nb_gateway.testing.server import (
    STANDALONE,
    hermetic_environment,
    running_gateway,
)

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """In it a kernel finds a gateway with canned answers."""
    directory = tmp_path_factory.mktemp("notebooks")
    options = ("--demo", "--GatewayApp.demo_delay_seconds=0")
    with running_gateway(directory, "", *options, command=STANDALONE) as gateway:
        key_file = directory / "key"
        key_file.write_text(gateway.key)
        yield {
            **hermetic_environment(directory, ""),
            "CLAUDE_GATEWAY_URL": gateway.base_url,
            "CLAUDE_GATEWAY_KEY_FILE": str(key_file),
        }


def run(environment, *command):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def answers(path):
    """The Markdown of all outputs, and the kinds of them."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    texts = [output.get("data", {}).get("text/markdown") for output in outputs]
    return [(o.output_type, text) for o, text in zip(outputs, texts, strict=True)]


@pytest.mark.soak
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_passes_strict_nbval(environment, path):
    command = ("pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider")
    run(environment, *command, "--override-ini=filterwarnings=", str(path))


@pytest.mark.soak
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_under_papermill(environment, path, tmp_path):
    executed = tmp_path / "executed.ipynb"
    run(environment, "papermill", "--cwd", str(path.parent), str(path), str(executed))
    assert answers(executed) == answers(path)


@pytest.mark.soak
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_under_nbconvert(environment, path, tmp_path):
    options = ("--to", "notebook", "--execute", "--output", str(tmp_path / "executed"))
    run(environment, "nbconvert", *options, str(path))
    assert answers(tmp_path / "executed.ipynb") == answers(path)
