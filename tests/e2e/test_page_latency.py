"""From the engine to the drawn bone in Chromium; figures are of `tests/bench/test_page.py`."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.clients.probes import BUILT
from tests.e2e.test_overlay import CHROMIUM, FLAGS
from tests.page_latency import LOWERED, RAISED, measure, progress
from tests.support import require


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require(CHROMIUM.exists(), f"needs Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


def test_a_jump_of_a_bone_is_drawn_soon(browser: Browser, tmp_path: Path) -> None:
    seen = measure(browser, tmp_path, poses=8)
    BUILT.mkdir(parents=True, exist_ok=True)
    (BUILT / "page_latency.json").write_text(json.dumps(seen.row()) + "\n", "utf-8")
    print(f"\n{seen.row()}")
    assert 0 < seen.begins_p50 <= seen.there_p50
    # The blend between two poses takes a frame of 66.7 ms; pictures come in between.
    picture = 1000 / seen.screen_fps
    assert seen.there_p50 - seen.begins_p50 < 1000 / 15 + 3 * picture + 30
    if seen.screen_fps > 25:  # software rendering on a busy machine has hardly a picture a frame
        assert seen.there_p50 < 300


def test_progress_is_the_share_of_the_arc() -> None:
    old, new = np.array(RAISED), np.array(LOWERED)
    middle = (old + new) / np.linalg.norm(old + new)
    shares = progress(np.array([old, middle, new, -new]), old, new)
    np.testing.assert_allclose(shares, [0, 0.5, 1, 1], atol=1e-6)
