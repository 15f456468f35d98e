"""Windows and macOS, as far as can be shown from another system.

Types are checked for each platform, and every run-time dependency must have a
wheel for each, so that users never need a compiler. uv resolves for platforms
other than its own, markers included, and downloads only metadata.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import require

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ("x86_64-pc-windows-msvc", "aarch64-apple-darwin")
PYTHONS = ("3.11", "3.12", "3.13")
RUN_TIME_EXTRAS = ("mic", "asr", "serve", "vrchat", "video")
OLDEST_MACOS = "14.0"  # of onnxruntime's wheels
NO_NETWORK = re.compile(r"dns error|client error \(Connect\)|timed out|Failed to fetch")


def resolve(project: Path, platform: str, python: str) -> subprocess.CompletedProcess[str]:
    """Resolve a project with the run-time extras for a platform, wheels only."""
    target = ["--python-platform", platform, "--python-version", python, "--python", sys.executable]
    extras = [word for extra in RUN_TIME_EXTRAS for word in ("--extra", extra)]
    wheels = ["--only-binary", ":all:", "--no-config", "--no-annotate"]
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))}
    done = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "compile", *target, *extras, *wheels, *pins, project],
        env=environment | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
        capture_output=True,
        text=True,
    )
    unreachable = done.returncode != 0 and NO_NETWORK.search(done.stderr)
    require(not unreachable, "the package index cannot be reached, so wheels cannot be checked")
    return done


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_a_wheel_as_pinned(platform: str, python: str) -> None:
    done = resolve(ROOT / "pyproject.toml", platform, python)
    assert done.returncode == 0, done.stderr
    pins = {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line}
    assert {"numpy", "onnxruntime", "sounddevice", "pocketsphinx", "imageio-ffmpeg"} <= pins
    assert "torch" not in pins


def test_a_package_without_a_wheel_is_noticed(tmp_path: Path) -> None:
    """By the same means: docopt was only ever published as source."""
    project = tmp_path / "pyproject.toml"
    extras = "".join(f"{extra} = []\n" for extra in RUN_TIME_EXTRAS)
    project.write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["docopt==0.6.2"]\n'
        f"[project.optional-dependencies]\n{extras}"
    )
    done = resolve(project, PLATFORMS[0], PYTHONS[0])
    assert done.returncode != 0
    assert "docopt" in done.stderr


@pytest.mark.parametrize("platform", ["Windows", "Darwin"])
def test_types_hold_on(platform: str) -> None:
    command = [sys.executable, "-m", "pyright", "--pythonplatform", platform]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
