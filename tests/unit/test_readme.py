"""The README keeps its promises: commands, options, errors and links exist."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def commands(page: str) -> list[list[str]]:
    """Return the words of every line in the page's shell blocks, comments left out."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def spoken_of(page: str) -> list[list[str]]:
    """Return every command in running text, as `gesture live --source mic`."""
    spans = re.findall(r"`((?:gesture|python3?(?:\.\d+)?|py) [^`\n]+)`", page)
    return [shlex.split(span) for span in spans]


@cache
def help_of(*words: str) -> str:
    code = f"import sys; sys.argv[0] = 'gesture'; from streamer.cli import main; main({[*words]!r})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout


EVERY = [words for page in PAGES for words in commands(page.read_text("utf-8"))]
EVERY += spoken_of(README)


@pytest.mark.parametrize(
    "words", [w for w in EVERY if w[0] == "gesture"], ids=lambda words: " ".join(words)
)
def test_gesture_commands_exist(words: list[str]) -> None:
    _, subcommand, *rest = words
    assert re.search(rf"\b{re.escape(subcommand)}\b", help_of("--help"))
    usage = help_of(subcommand, "--help")
    for option in (word.split("=")[0] for word in rest if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", usage), f"{option} is not in the help"


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)(?: [^`]*)?`", README))))
def test_options_spoken_of_exist(option: str) -> None:
    assert re.search(rf"{option}(?![\w-])", help_of("live", "--help"))


def test_the_two_commands_are_in_dev_py() -> None:
    ours = [words for words in commands(README) if words[0] == "python"]
    assert ours == [["python", "dev.py", "demo"], ["python", "dev.py", "test"]]
    usage = subprocess.run(
        [sys.executable, "dev.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for words in EVERY:
        if "dev.py" in words:
            assert f"python dev.py {words[words.index('dev.py') + 1]}" in usage


def test_the_errors_it_explains_are_still_said() -> None:
    table = README.split("## When something is wrong")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    said = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(said) >= 5
    files = [ROOT / "dev.py", *(ROOT / "streamer").rglob("*.py")]
    source = " ".join(path.read_text("utf-8") for path in files)
    joined = re.sub(r'"\s*f?"', "", source)  # strings continued on the next line
    assert [text for text in said if text not in joined] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    local = [target.split("#")[0] for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_paths_it_names_exist() -> None:
    named = re.findall(r"`([a-z_]+(?:/[\w.]*)+)`", README)
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_it_is_honest() -> None:
    assert re.search(r"Windows.*macOS.*not yet tried", README)
    assert "rule-aligned motion capture" in README
    assert "claims nothing about the numbers of the papers" in README
    for licence in ("Apache-2.0", "LGPL-2.1"):
        assert licence in README
    for paper in ("CVPR 2022", "CVPR 2025"):
        assert paper in README
