"""`dev.py`: sets up once, passes on what the tool says, and fails in one line."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import dev

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout elsewhere, with a venv that is made and filled in name only."""
    venv = tmp_path / ".venv"
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", venv)
    monkeypatch.setattr(dev, "PYTHON", venv / "python")
    monkeypatch.setattr(dev, "STAMP", venv / "stamp.json")
    monkeypatch.setattr(dev, "CONSTRAINTS", tmp_path / "constraints.txt")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")

    def make_venv() -> None:
        venv.mkdir(exist_ok=True)
        (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
        (venv / "python").write_text("")

    monkeypatch.setattr(dev, "make_venv", make_venv)
    return tmp_path


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What pip was asked to install, instead of installing it."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "pip", lambda *args: calls.append(args))
    return calls


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The tools' command lines, without the interpreter, instead of running them."""
    calls: list[list[str]] = []

    def run(command: list[str | Path], **_options: object) -> int:
        calls.append([str(word) for word in command][1:])
        return 0

    monkeypatch.setattr(dev, "run", run)
    monkeypatch.setattr(dev, "set_up", lambda level: calls.append([level]))
    return calls


def test_old_pythons_can_read_it_and_it_needs_nothing() -> None:
    tree = ast.parse((ROOT / "dev.py").read_text("utf-8"), feature_version=(3, 7))
    names = [n for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names]
    froms = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules = {name.split(".")[0] for name in [n.name for n in names] + froms}
    assert modules <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("version", [(2, 7), (3, 10), (3, 14), (4, 0)])
def test_an_unsupported_python_gets_one_line(
    version: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    code = dev.main(["demo"])
    monkeypatch.undo()
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("\n") == 1
    assert f"Python {version[0]}.{version[1]} is not supported, it needs 3.11 to 3.13" in err


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_supported_pythons_pass(version: tuple[int, int]) -> None:
    dev.check_python(version)


@pytest.mark.parametrize("argv", [[], ["dmeo"]])
def test_no_or_wrong_command_shows_the_commands(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(argv) == 2
    assert "python dev.py demo" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["--help"]) == 0
    assert "python dev.py test" in capsys.readouterr().out


def test_missing_venv_module_names_the_package(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dev.importlib.util, "find_spec", lambda name: None)
    assert dev.main(["demo"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "python3-venv" in err


def test_installs_once(checkout: Path, installs: list[tuple[str, ...]]) -> None:
    dev.set_up("run")
    upgrade_pip, project = installs
    assert upgrade_pip[-1] == "pip"
    assert project[-2] == "--editable"
    assert project[-1].endswith("[mic,asr,serve,video]")
    assert "--group" not in project
    dev.set_up("run")
    assert len(installs) == 2


def test_development_includes_running(checkout: Path, installs: list[tuple[str, ...]]) -> None:
    dev.set_up("develop")
    assert "--group" in installs[-1]
    dev.set_up("run")
    assert len(installs) == 2


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt", ".venv/pyvenv.cfg"])
def test_installs_again_after_a_change(
    changed: str, checkout: Path, installs: list[tuple[str, ...]]
) -> None:
    dev.set_up("run")
    with (checkout / changed).open("a") as file:
        file.write("# changed\n")
    dev.set_up("run")
    assert len(installs) == 4


def test_a_failed_install_is_tried_again(
    checkout: Path, installs: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dev.set_up("run")
    (checkout / "constraints.txt").write_text("numpy==3.0\n")

    def fail(*_args: str) -> None:
        raise dev.Stop("no network", 1)

    with monkeypatch.context() as patch:
        patch.setattr(dev, "pip", fail)
        assert dev.main(["demo"]) == 1
    assert not dev.stamped("run")
    dev.set_up("run")
    assert len(installs) == 4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}, "no network"),
        ({"PIP_NO_INDEX": "1"}, "could not install"),
    ],
)
def test_pip_failures_end_in_one_line(
    setting: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1", **setting}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    with pytest.raises(dev.Stop, match=message) as caught:
        dev.pip("--dry-run", "--ignore-installed", "numpy")
    assert caught.value.code == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argv", [["--json", "--", "x"], ["--", "--json", "--", "x"]])
def test_demo_passes_arguments_on(argv: list[str], ran: list[list[str]]) -> None:
    assert dev.main(["demo", *argv]) == 0
    assert ran == [["run"], ["live", "--source", "demo", "--json", "--", "x"]]


def test_test_lints_then_tests(ran: list[list[str]]) -> None:
    assert dev.main(["test", "--", "-k", "clock"]) == 0
    assert ran == [
        ["develop"],
        ["-m", "ruff", "check"],
        ["-m", "ruff", "format", "--check"],
        ["-m", "pyright"],
        ["-m", "pytest", "-k", "clock"],
    ]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({}, 0),
        ({"pytest": 5}, 5),
        ({"pyright": 1}, 1),
        ({"ruff": 1, "pytest": 2}, 2),
    ],
)
def test_the_exit_code_is_the_tools(
    codes: dict[str, int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "set_up", lambda level: None)
    monkeypatch.setattr(dev, "run", lambda command, **_: codes.get(command[2], 0))
    assert dev.main(["test"]) == expected


def test_lock_keeps_this_machines_settings_out(
    ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setenv("UV_INDEX_URL", "http://mirror.invalid")
    monkeypatch.setenv("PIP_FIND_LINKS", "/opt")
    monkeypatch.setattr(dev, "run", lambda command, cwd, env: seen.update(env) or 0)
    assert dev.main(["lock"]) == 0
    assert "PATH" in seen
    assert not [name for name in seen if name.startswith(("UV_", "PIP_"))]


def test_clean_removes_only_what_can_be_made_again(checkout: Path) -> None:
    for name in (".venv", ".ruff_cache", "dist", "streamer"):
        (checkout / name).mkdir()
    assert dev.main(["clean"]) == 0
    assert {path.name for path in checkout.iterdir() if path.is_dir()} == {"streamer"}


def test_run_puts_the_venv_first_on_the_path() -> None:
    code = f"import os, sys; sys.exit(os.environ['PATH'].split(os.pathsep)[0] != {str(dev.BIN)!r})"
    assert dev.run([sys.executable, "-c", code]) == 0
    assert dev.run([sys.executable, "-c", "raise SystemExit(7)"]) == 7


TOOL = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(5))
print("ready", flush=True)
while True:
    signal.pause()
"""


@posix
@pytest.mark.parametrize(
    ("number", "to_group", "expected"),
    [(signal.SIGINT, True, 5), (signal.SIGTERM, False, 128 + 15)],
)
def test_signals_end_the_tool_in_its_own_way(number: int, to_group: bool, expected: int) -> None:
    """Ctrl-C reaches both processes; a SIGTERM to dev.py alone must reach the tool."""
    code = "import sys, dev; sys.exit(dev.run([sys.executable, '-c', sys.argv[1]]))"
    command = [sys.executable, "-c", code, TOOL]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (os.killpg if to_group else os.kill)(process.pid, number)
        assert process.wait(timeout=20) == expected
