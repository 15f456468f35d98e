"""Set up and run Gesture Streamer from a checkout.

  python dev.py demo  [ARGS]   speak the demo to an avatar in your browser
  python dev.py test  [ARGS]   lint, type-check and test everything
  python dev.py lint           ruff and pyright alone
  python dev.py bench [ARGS]   measure against the budgets
  python dev.py lock  [ARGS]   pin all dependencies anew in constraints.txt (--upgrade for newer)
  python dev.py clean          remove .venv and every cache

ARGS go to the tool behind the command (`gesture live`, pytest, uv); a `--` before
them is optional. The first run makes .venv and installs into it, later ones start at
once. It needs Python 3.11 to 3.13 and nothing else, on Linux, macOS and Windows.
"""

# This file must parse on any Python 3.7 or newer, so that an old one gets a clear line.
from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "dev-stamp.json"
CONSTRAINTS = ROOT / "constraints.txt"

OLDEST, NEWEST = (3, 11), (3, 13)
PROJECT = ["--editable", str(ROOT) + "[mic,asr,serve,video]"]
INSTALLS = {
    "run": PROJECT,  # what the demo needs: no torch
    "develop": [*PROJECT, "--group", str(ROOT / "pyproject.toml") + ":dev"],
}
UNREACHABLE = ("after connection broken by", "Could not fetch URL")  # how pip says it


class Stop(Exception):
    """Ends dev.py with one line to the user and an exit code."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code of its tool."""
    command, rest = (argv[0], argv[1:]) if argv else ("", [])
    args = rest[1:] if rest[:1] == ["--"] else rest
    try:
        check_python(sys.version_info[:2])
        if command == "demo":
            return demo(args)
        if command == "test":
            return test(args)
        if command == "lint":
            set_up("develop")
            return lint()
        if command == "bench":
            set_up("develop")
            return run([PYTHON, "-m", "pytest", "-m", "bench", "-s", *args], cwd=ROOT)
        if command == "lock":
            return lock(args)
        if command == "clean":
            return clean()
    except Stop as stop:
        print("dev.py: " + str(stop), file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        print("\ndev.py: interrupted; the same command continues", file=sys.stderr)
        return 130
    if command in ("-h", "--help", "help"):
        print(__doc__)
        return 0
    print(__doc__, file=sys.stderr)
    print("dev.py: " + (f"no command {command!r}" if command else "no command"), file=sys.stderr)
    return 2


def demo(args: list[str]) -> int:
    """Run the engine on the bundled speech."""
    set_up("run")
    gesture = BIN / ("gesture.exe" if os.name == "nt" else "gesture")
    return run([gesture, "live", "--source", "demo", *args])


def test(args: list[str]) -> int:
    """Lint and test; a lint failure does not hide the tests' result."""
    set_up("develop")
    linted = lint()
    tested = run([PYTHON, "-m", "pytest", *args], cwd=ROOT)
    if linted:
        print("dev.py: ruff or pyright failed, see above the tests", file=sys.stderr)
    return tested or linted


def lint() -> int:
    """Run ruff and pyright; returns the first failure's exit code."""
    codes = [
        run([PYTHON, "-m", *tool], cwd=ROOT)
        for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["pyright"])
    ]
    return next((code for code in codes if code), 0)


def lock(args: list[str]) -> int:
    """Pin every dependency, of all platforms and Pythons, in constraints.txt.

    It asks the public index alone: no setting of this machine gets into the file.
    """
    set_up("develop")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))}
    everything = ["pyproject.toml", "--all-extras", "--group", "dev", "--universal"]
    style = ["--no-config", "--no-annotate", "--custom-compile-command", "python dev.py lock"]
    oldest = ["--python-version", ".".join(map(str, OLDEST)), "--python", str(PYTHON)]
    command = [PYTHON, "-m", "uv", "pip", "compile", *everything, *oldest, *style]
    code = run([*command, "--quiet", "-o", "constraints.txt", *args], cwd=ROOT, env=environment)
    if code == 0:
        print("dev.py: wrote constraints.txt; run `python dev.py test` and commit it")
    return code


def clean() -> int:
    """Remove what can be made again; refuses from inside .venv."""
    if Path(sys.prefix).resolve() == VENV:
        raise Stop("clean cannot remove the Python it runs in; use your system's Python")
    caches = [".venv", ".pytest_cache", ".ruff_cache", ".hypothesis", "build", "dist"]
    for path in [ROOT / name for name in caches]:
        if path.is_dir():
            shutil.rmtree(path)
            print("removed " + path.name)
    return 0


def check_python(version: tuple[int, ...]) -> None:
    """Raise `Stop` on a Python that the dependencies do not support."""
    if OLDEST <= version <= NEWEST:
        return
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    found = next((name for name in names if shutil.which(name)), "")
    remedy = f"run it with {found}" if found else "get 3.13 from your system's packages"
    got = ".".join(map(str, version))
    raise Stop(f"Python {got} is not supported, it needs 3.11 to 3.13; {remedy}")


def set_up(level: str) -> None:
    """Make .venv hold all that `level` ("run" or "develop") needs; at once if it does.

    A stamp in .venv remembers the fingerprint of what was installed.
    """
    if stamped(level):
        return
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Stop("this Python has no venv module; on Debian or Ubuntu: apt install python3-venv")
    if not works():
        make_venv()
    STAMP.unlink(missing_ok=True)
    pins = ["--constraint", str(CONSTRAINTS)]
    pip("--upgrade", *pins, "pip")  # the one that came with Python may be too old for the next
    pip(*pins, "--build-constraint", str(CONSTRAINTS), *INSTALLS[level])
    STAMP.write_text(json.dumps({level: fingerprint()}), encoding="utf-8")


def stamped(level: str) -> bool:
    """Return whether .venv already holds what `level` needs."""
    if not (STAMP.is_file() and PYTHON.exists()):
        return False
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except ValueError:
        return False
    return fingerprint() in (stamp.get(level), stamp.get("develop"))


def fingerprint() -> str:
    """Return a digest of all that decides what is in .venv: pins, place, interpreter."""
    digest = hashlib.sha256(repr((str(ROOT), INSTALLS)).encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS, VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def works() -> bool:
    """Return whether .venv has a supported Python that runs, with pip."""
    probe = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([str(PYTHON), "-c", probe], capture_output=True, text=True)
    except OSError:
        return False
    if done.returncode != 0:
        return False
    return OLDEST <= tuple(map(int, done.stdout.split())) <= NEWEST


def make_venv() -> None:
    """Create .venv afresh."""
    if Path(sys.prefix).resolve() == VENV:
        raise Stop(".venv is broken and dev.py runs in it; use your system's Python")
    print(f"dev.py: making {VENV}", flush=True)
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if done.returncode != 0:
        raise Stop(f"could not make {VENV}, see above; is the disk full or read-only?", 1)


def pip(*args: str) -> None:
    """Run `pip install` in .venv, its output visible; raises `Stop` when it fails."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *args]
    offline = False
    with subprocess.Popen(
        command, cwd=str(ROOT), stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            offline = offline or any(sign in line for sign in UNREACHABLE)
    if process.returncode == 0:
        return
    if offline:
        raise Stop(
            "no network: pip could not reach its package index (is there a proxy to set?)", 1
        )
    raise Stop("pip could not install the dependencies, its last lines above say why", 1)


def run(
    command: list[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None
) -> int:
    """Run a tool of .venv to its end, Ctrl-C and SIGTERM included; returns its exit code."""
    environment = dict(os.environ if env is None else env)
    environment["VIRTUAL_ENV"] = str(VENV)
    environment["PATH"] = str(BIN) + os.pathsep + environment.get("PATH", "")
    words = [str(word) for word in command]
    with subprocess.Popen(words, cwd=str(cwd) if cwd else None, env=environment) as process:

        def end(_signal: int, _frame: FrameType | None) -> None:
            process.terminate()

        before = signal.signal(signal.SIGTERM, end)
        try:
            code = wait(process)
        finally:
            signal.signal(signal.SIGTERM, before)
    return code if code >= 0 else 128 - code


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a tool that handles Ctrl-C itself, for it gets the signal too."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
