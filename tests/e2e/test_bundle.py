"""The committed overlay is what its source builds, and it is small and self-contained."""

import gzip
import json
import re
import subprocess
from pathlib import Path

from tests.web_modules import SOURCE, modules, run
from tests.web_modules import tool as node

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "streamer" / "data" / "web"


def run_tool(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of the installed packages with node, in the overlay's folder."""
    return run([node("node"), str(modules() / tool), *arguments])


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_committed_bundle_is_what_the_source_builds(tmp_path: Path) -> None:
    built = run_tool("vite/bin/vite.js", "build", "--outDir", str(tmp_path), "--emptyOutDir")
    assert built.returncode == 0, built.stderr
    fresh, committed = files(tmp_path), files(BUNDLE)
    assert sorted(fresh) == sorted(committed), "run `npm run build` in clients/web and commit"
    for name, data in fresh.items():
        assert data == committed[name], f"{name}: run `npm run build` in clients/web and commit"


def test_types_and_unit_tests_of_the_overlay() -> None:
    checked = run_tool("typescript/bin/tsc", "--noEmit")
    assert checked.returncode == 0, checked.stdout
    tested = run_tool("vitest/vitest.mjs", "run", "--reporter=json")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    report = json.loads(tested.stdout[tested.stdout.index("{") :])
    assert report["numPassedTests"] == report["numTotalTests"] >= 30


def packed(data: bytes) -> int:
    """Return how many bytes a file has when a server compresses it."""
    return len(gzip.compress(data, mtime=0))


def test_the_bundle_is_small_and_needs_nothing_from_elsewhere() -> None:
    bundle = files(BUNDLE)
    # The engine in a page is loaded by local.html alone. Measured: overlay 0.21 MB,
    # WebAssembly 3.8 MB.
    runtime = [name for name in bundle if re.fullmatch(r"assets/onnxruntime-\S+\.bin", name)]
    assert len(runtime) == 1
    assert packed(bundle[runtime[0]]) <= 4_500_000
    assert sum(packed(data) for name, data in bundle.items() if name not in runtime) <= 2_000_000
    overlay = [data for name, data in bundle.items() if re.match(r"index|assets/(index|per)", name)]
    assert len(overlay) >= 3
    assert not [data for data in overlay if b"onnxruntime" in data or b"engine.worker" in data]
    assert not [name for name in bundle if name.endswith(".map")]
    for page in ("index.html", "local.html"):
        assert b"http:" not in bundle[page], page
        assert b"https:" not in bundle[page], page
    for name, data in bundle.items():
        if name in runtime:
            continue
        assert b"sourceMappingURL" not in data, name
        # What Chromium 103 of older OBS does not know.
        newer = rb"toSorted|toReversed|toSpliced|withResolvers|fromAsync|color-mix|:has\(|oklch"
        assert not re.findall(newer, data), name
        if name.endswith(".css"):
            assert b"url(" not in data
            assert b"@import" not in data


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text("utf-8"))
    assert not [path for path, entry in lock["packages"].items() if "resolved" in entry]
    missing = [
        path for path, entry in lock["packages"].items() if path and not entry.get("integrity")
    ]
    assert not missing
