"""The wheel: `streamer` only, with all its data, usable without the checkout or torch."""

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout as a release would."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True, text=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel alone was installed, by pip."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True)
    return target


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> dict[str, list[str]]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        message = Parser().parsestr(archive.read(name).decode())
    return {key: message.get_all(key, []) for key in message.keys()}


def test_holds_streamer_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"streamer"}
    assert not any(name.endswith((".pyc", ".log")) for name in names(wheel))


def test_holds_every_committed_file_of_streamer(wheel: Path) -> None:
    command = ["git", "ls-files", "-z", "streamer"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    committed = {name for name in listed.split("\0") if (ROOT / name).is_file()}
    assert len(committed) > 10
    assert committed - names(wheel) == set()


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("types for users of the package", r"streamer/py\.typed"),
        ("skeletons", r"streamer/data/skeletons/upper_body\.json"),
        ("default model", r"streamer/data/models/[^/]+/manifest\.json"),
        ("default model's network", r"streamer/data/models/[^/]+/model\.onnx"),
        ("default model's licence", r"streamer/data/models/[^/]+/LICENSE.*"),
        ("demo speech", r"streamer/data/demo/speech\.flac"),
        ("demo words", r"streamer/data/demo/words\.json"),
        ("overlay page", r"streamer/data/web/index\.html"),
        ("mannequin", r"streamer/data/avatars/mannequin\.vrm"),
    ],
)
def test_holds_the_data(wheel: Path, what: str, pattern: str) -> None:
    assert [n for n in names(wheel) if re.fullmatch(pattern, n)], f"no {what}: {pattern}"


def test_says_what_it_is(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["Name"] == ["gesture-streamer"]
    assert said["License-Expression"] == ["Apache-2.0 AND LGPL-2.1-only"]
    assert {"LICENSE", "NOTICE"} <= set(said["License-File"])
    assert set(said["Provides-Extra"]) >= {"mic", "asr", "gpu", "torch", "serve", "video"}
    base = {line for line in said["Requires-Dist"] if "extra ==" not in line}
    assert not any("torch" in line for line in base)


USE = """
import sys
sys.modules["torch"] = None  # an import of it fails
sys.path.insert(0, sys.argv[1])
import streamer
from streamer.skeleton import BUILT_IN, load_skeleton
assert streamer.__file__.startswith(sys.argv[1]), streamer.__file__
print(streamer.__version__, *(load_skeleton(name).vectors for name in BUILT_IN))
"""


def test_works_from_an_empty_folder_without_torch(wheel: Path, site: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", USE, str(site)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    version, *vectors = done.stdout.split()
    assert [version] == metadata(wheel)["Version"]
    assert [int(n) > 0 for n in vectors] == [True] * 3


def test_command_starts_without_torch(site: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; sys.path.insert(0, sys.argv.pop(1))\n"
    code += "from streamer.cli import main; sys.exit(main(['--help']))"
    command = [sys.executable, "-c", code, str(site)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "live" in done.stdout
