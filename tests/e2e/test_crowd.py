"""Many viewers at once: all get the same frames in order, whatever slow ones do.

A thousand, with figures, are in `tests/bench/test_viewers.py`.
"""

import asyncio
from pathlib import Path

from tests.delivery import Delivery, deliver


def test_a_hundred_viewers_and_ten_that_read_nothing(tmp_path: Path) -> None:
    alone, beside = (
        asyncio.run(deliver(tmp_path, viewers=100 + slow, slow=slow, seconds=2)) for slow in (0, 10)
    )
    for run in (alone, beside):
        check(run)
    # What a viewer costs does not depend on others; measured 1.0. Percentiles of a
    # busy machine differ by more from run to run than slow viewers could add.
    assert beside.cpu_us_per_frame < 2 * alone.cpu_us_per_frame
    assert beside.p50_ms < 3 * alone.p50_ms + 50


def check(run: Delivery) -> None:
    assert (run.disorder, run.unequal) == (0, 0), run
    # Frames are replaced only where the machine gave a viewer no time for 267 ms.
    assert run.lost <= 0.05 * run.frames * 100, run
    assert run.cpu_us_per_frame < 300, run  # measured 28, with 19 programs waiting for 2 cores
