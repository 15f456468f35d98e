"""Who may import whom (DESIGN 2), by reading every file and by importing it.

`training -> export, models, streamer`; `export -> models, streamer`;
`models -> streamer.clock, errors, skeleton, spec`; `streamer -> nothing of ours`, and at
import nothing but its base dependencies: extras and torch come in late.
"""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

ALLOWED = {
    "training": {"export", "models", "streamer"},
    "export": {"models", "streamer"},
    "models": {"streamer.clock", "streamer.errors", "streamer.skeleton", "streamer.spec"},
    "streamer": set[str](),
}
OURS = {*ALLOWED, "tests", "tools", "clients", "dev"}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of every import, late and dynamic ones included.

    `from a import b` gives `a.b`; a relative import starts with a dot.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = "." * level + (module or "")
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name
            case _:
                pass


def offences(package: str, source: str) -> list[str]:
    """Return what a file of `package` imports against the law."""
    allowed = {package, *ALLOWED[package]}
    found: list[str] = []
    for line, module in imports(source):
        ours = module.split(".")[0] in OURS
        permitted = any(module == name or module.startswith(f"{name}.") for name in allowed)
        if module.startswith(".") or (ours and not permitted):
            found.append(f"{line}: {module}")
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_the_law_allows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {
        str(path.relative_to(ROOT)): bad
        for path in files
        if (bad := offences(package, path.read_text("utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("package", "source", "expected"),
    [
        ("streamer", "import numpy\nfrom streamer.spec import ModelSpec", []),
        ("streamer", "def late():\n    import models.ha2g", ["2: models.ha2g"]),
        ("streamer", "import importlib\nimportlib.import_module('export')", ["2: export"]),
        ("streamer", "from . import spec", ["1: ..spec"]),
        ("models", "from streamer.spec import ModelSpec", []),
        ("models", "from streamer import skeleton", []),
        ("models", "from streamer import engine", ["1: streamer.engine"]),
        ("models", "import streamer", ["1: streamer"]),
        ("models", "import streamer.spectrum", ["1: streamer.spectrum"]),
        ("export", "import training.loop", ["1: training.loop"]),
        ("training", "import export.build, models.ha2g, streamer", []),
        ("training", "from tests.support import require", ["1: tests.support.require"]),
    ],
)
def test_the_law_is_enforced(package: str, source: str, expected: list[str]) -> None:
    assert offences(package, source) == expected


def base_modules() -> set[str]:
    """Return the importable names of the base dependencies and all that they require."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    todo, known = list[str](project["dependencies"]), set[str]()
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if needed and name not in known:
            known.add(name)
            todo += distribution(name).requires or ()
    return {
        module
        for module, owners in packages_distributions().items()
        if any(canonicalize_name(owner) in known for owner in owners)
    }


def distributions_named(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


BY_THE_USER = {"tensorrt"}
"""NVIDIA's libraries: its packages fetch them at install time from an index of its own, so
no lock file can hold them. `docs/gpu.md` says how they are installed."""
PARTS_OF = {"cuda": "cuda-python"}
"""Modules whose distribution cannot be looked up where it is not installed."""


def test_every_dependency_is_declared_and_every_declared_one_is_used() -> None:
    """Late imports too: whatever `streamer` can import is a base dependency or an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    base = distributions_named(project["dependencies"])
    extras = {
        name
        for lines in project["optional-dependencies"].values()
        for name in distributions_named(lines)
    }
    found = (imports(path.read_text("utf-8")) for path in (ROOT / "streamer").rglob("*.py"))
    tops = {module.split(".")[0] for some in found for _, module in some}
    owners = {
        top: {canonicalize_name(owner) for owner in packages_distributions().get(top, [top])}
        for top in tops - OURS - BY_THE_USER - set(sys.stdlib_module_names)
    }
    for top, name in PARTS_OF.items():
        owners[top].add(name)
    undeclared = {top for top, names in owners.items() if not names & (base | extras)}
    assert undeclared == set(), "not in pyproject.toml"
    assert base - set[str]().union(*owners.values()) == set(), "nothing imports it"


IMPORT_ALL = """
import importlib, json, sys, threading

allowed, modules = json.loads(sys.stdin.read())
allowed = {"streamer", *allowed, *sys.stdlib_module_names}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is no base dependency", name=name)

sys.meta_path.insert(0, Refuse())
failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        failed[module] = repr(error)
if (threads := threading.enumerate()) != [threading.main_thread()]:
    failed["threads"] = repr(threads)
if "torch" in sys.modules:
    failed["torch"] = "was imported"
print(json.dumps(failed))
"""


def test_streamer_imports_with_base_dependencies_alone() -> None:
    """Every module, in a process where torch, the extras and development tools are absent."""
    allowed = base_modules()
    assert "numpy" in allowed
    assert not {"torch", "sounddevice", "prometheus_client", "pytest"} & allowed
    paths = sorted((ROOT / "streamer").rglob("*.py"))
    dotted = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    modules = [name.removesuffix(".__init__") for name in dotted if "__main__" not in name]
    assert "streamer.spec" in modules
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        input=json.dumps([sorted(allowed), modules]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {}
