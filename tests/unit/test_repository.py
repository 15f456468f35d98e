"""Things that must hold for every file of the repository."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {".py", ".ts", ".js", ".mjs", ".css", ".html", ".cs", ".cpp", ".h", ".sh"}
GENERATED = ("streamer/data/", "clients/web/package-lock.json", "tests/golden/")
LONGEST_LINES = 500
LARGEST_BYTES = 5_000_000
WEIGHTS = {  # the models that ship and what they are exported from; at most 12 MB each
    "streamer/data/models/hop-stream-small/model.onnx": 12_000_000,
    "training/checkpoints/hop-stream-small/weights.safetensors": 12_000_000,
    "streamer/data/models/ha2g-stream-small/model.onnx": 12_000_000,
    "training/checkpoints/ha2g-stream-small/weights.safetensors": 12_000_000,
}


@cache
def files() -> tuple[str, ...]:
    """Return every file that is or could be committed, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted(name for name in set(listed.split("\0")) if (ROOT / name).is_file()))


def written_by_hand() -> list[str]:
    return [name for name in files() if not name.startswith(GENERATED)]


def text(name: str) -> str | None:
    try:
        return (ROOT / name).read_text("utf-8")
    except UnicodeDecodeError:
        return None


def test_no_source_is_longer_than_one_idea() -> None:
    lengths = {n: len((text(n) or "").splitlines()) for n in written_by_hand()}
    long = {n: k for n, k in lengths.items() if Path(n).suffix in SOURCES and k > LONGEST_LINES}
    assert long == {}, f"longer than {LONGEST_LINES} lines; look for the second idea"


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    found = [
        f"{name}:{number}"
        for name in written_by_hand()
        for number, line in enumerate((text(name) or "").splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []


def test_no_file_is_large() -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in files()}
    large = {n: size for n, size in sizes.items() if size > WEIGHTS.get(n, LARGEST_BYTES)}
    assert large == {}


def test_text_files_are_utf8_with_unix_line_ends() -> None:
    sources = [
        name for name in written_by_hand() if Path(name).suffix in SOURCES | {".md", ".toml"}
    ]
    assert sources
    assert [name for name in sources if text(name) is None] == []
    assert [name for name in sources if b"\r\n" in (ROOT / name).read_bytes()] == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "dev.py", ".ci/run"])
def test_installing_names_no_host(name: str) -> None:
    """An index or mirror is a setting of the user's machine, never of the repository."""
    content = text(name)
    assert content is not None
    assert not re.search(r"https?://|index-url|find-links|trusted-host", content)


def test_constraints_pin_exactly() -> None:
    lines = (text("constraints.txt") or "").splitlines()
    pins = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert len(pins) > 50
    exact = re.compile(r"[a-z0-9][a-z0-9.-]*==[^\s;]+( ; .+)?")
    assert [line for line in pins if not exact.fullmatch(line)] == []
    assert not any("+" in line.split(";")[0] for line in pins), "a local build cannot be found"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
def test_ci_run_is_an_executable_script() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
