"""The page's figures on a machine that has nothing else to do: run it there."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from streamer.bench import commit, machine
from tests.e2e.test_overlay import CHROMIUM, FLAGS
from tests.page_latency import measure
from tests.support import require

RESULTS = Path(__file__).parent / "results" / "page.jsonl"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require(CHROMIUM.exists(), f"needs Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


def test_the_page(browser: Browser, tmp_path: Path) -> None:
    """Appends to `results`: 120 jumps of a bone, and the best first picture of three."""
    runs = [measure(browser, tmp_path, poses=poses) for poses in (120, 6, 6)]
    first_ms = min(run.first_ms for run in runs)
    log = {
        **runs[0].row(),
        "first_ms": round(first_ms, 1),
        "browser": browser.version,
        "machine": machine(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "commit": commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(log) + "\n")
    print("\n" + json.dumps(log, indent=1))
    assert first_ms < 2000
    assert runs[0].there_p50 < 200
