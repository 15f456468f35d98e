"""What holds for every test: which run by default, and what may be skipped.

`slow` and `bench` tests run only when `-m` names them; everything in
`tests/bench` is a `bench` test. `gpu` tests skip where there is no CUDA device.

With `CI=true` a skip fails the test unless its reason is one of two: it is
marked `gpu`, or it needs the data folder `../shared`, which is not in the
repository. So no system part goes missing unnoticed.
"""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

OFF_BY_DEFAULT = ("slow", "bench")
SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_ABSENT = "needs ../shared, the data folder beside the checkout"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(SHARED_ABSENT)
    return SHARED


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    bench = config.rootpath / "tests" / "bench"
    for item in items:
        if item.path.is_relative_to(bench):
            item.add_marker("bench")
    wanted = str(config.option.markexpr)
    off = [name for name in OFF_BY_DEFAULT if name not in wanted]
    kept, dropped = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        (dropped if any(map(item.get_closest_marker, off)) else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and shutil.which("nvidia-smi") is None:
        pytest.skip("needs a CUDA GPU; this machine has none")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        gpu = item.get_closest_marker("gpu") is not None
        refuse_skip(report, allowed=gpu)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        refuse_skip(report, allowed=False)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport, *, allowed: bool) -> None:
    """Turn a skip into a failure under CI, unless it is allowed or needs ../shared."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if os.environ.get("CI", "").lower() != "true" or allowed or "../shared" in reason:
        return
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: CI must run this, but it skipped: {reason}"
