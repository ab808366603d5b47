"""Check that installing the package enables it, from a checkout and from the sdist."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: str | Path) -> str:
    """Run a command and return its output; exit with the output if it fails."""
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{output}")
    return output


def check(source: Path, scratch: Path) -> None:
    """Install `source` into a new environment and ask Jupyter about it."""
    environment = scratch / f"env-{source.name}"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", source)
    listed = run(python, "-m", "jupyter", "server", "extension", "list")
    plain = listed.replace("\x1b[32m", "").replace("\x1b[0m", "")
    for expected in ("claude_nb_gateway enabled", "OK"):
        if expected not in plain:
            sys.exit(f"{source.name}: no {expected!r} in\n{listed}")
    run(python, "-m", "jupyter", "claude-gateway", "--version")
    print(f"{source.name}: enabled and OK")


def main() -> None:
    """Check the checkout, then the sdist built from it."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        check(ROOT, scratch)
        run(sys.executable, "-m", "build", "--sdist", "--outdir", scratch, ROOT)
        (sdist,) = scratch.glob("*.tar.gz")
        check(sdist, scratch)


if __name__ == "__main__":
    main()
