"""The rules of `tests/conftest.py`, seen from outside: pytest runs on a small project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SUITE = """
import pytest
def test_plain(): pass
@pytest.mark.slow
def test_slow(): pass
@pytest.mark.bench
def test_bench(): pass
"""


def pytest_on(folder: Path, files: dict[str, str], *args: str, ci: bool = False) -> tuple[int, str]:
    tests = folder / "tests"
    tests.mkdir()
    shutil.copy(CONFTEST, tests)
    for name, text in files.items():
        path = tests / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    environment = os.environ | {"CI": "true" if ci else "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    options = ["--rootdir", str(folder), "-p", "no:cacheprovider", "-v", "-W", "ignore"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--import-mode=importlib", *options, *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("args", "ran"),
    [
        ([], {"test_plain"}),
        (["-m", "slow"], {"test_slow"}),
        (["-m", "bench"], {"test_bench", "test_in_folder"}),
        (["-m", "slow or bench"], {"test_slow", "test_bench", "test_in_folder"}),
    ],
)
def test_slow_and_bench_run_only_when_named(tmp_path: Path, args: list[str], ran: set[str]) -> None:
    folder_test = "def test_in_folder(): pass"
    files = {"test_suite.py": SUITE, "bench/test_it.py": folder_test}
    code, out = pytest_on(tmp_path, files, *args)
    passed = {line.split("::")[1].split()[0] for line in out.splitlines() if " PASSED" in line}
    assert (code, passed) == (0, ran)


@pytest.mark.parametrize(
    ("test", "code_plain", "code_ci"),
    [
        ("def test(): pytest.skip('no PulseAudio here')", 0, 1),
        ("@pytest.mark.skipif(True, reason='no Chromium')\ndef test(): pass", 0, 1),
        ("@pytest.mark.gpu\ndef test(): pytest.skip('no GPU here')", 0, 0),
        ("def test(): pytest.skip('needs ../shared')", 0, 0),
        ("@pytest.mark.xfail(reason='known', strict=True)\ndef test(): assert False", 0, 0),
        ("@pytest.fixture\ndef part(): pytest.skip('absent')\ndef test(part): pass", 0, 1),
    ],
)
def test_ci_refuses_skips_for_missing_parts(
    tmp_path: Path, test: str, code_plain: int, code_ci: int
) -> None:
    files = {"test_it.py": f"import pytest\n{test}\n"}
    for ci, expected in ((False, code_plain), (True, code_ci)):
        folder = tmp_path / str(ci)
        folder.mkdir()
        code, out = pytest_on(folder, files, ci=ci)
        assert code == expected, out
        assert ("CI must run this" in out) == (expected == 1)


def test_ci_refuses_a_module_that_skips_itself(tmp_path: Path) -> None:
    files = {"test_it.py": "import pytest\npytest.importorskip('no_such_module')\n"}
    code, out = pytest_on(tmp_path, files, ci=True)
    assert code != 0
    assert "CI must run this" in out


def test_shared_fixture_skips_with_its_reason_even_in_ci(tmp_path: Path) -> None:
    files = {"test_it.py": "def test_data(shared): assert shared.is_dir()\n"}
    code, out = pytest_on(tmp_path, files, "-rs", ci=True)
    assert code == 0
    assert "SKIPPED" in out
    assert "../shared" in out
