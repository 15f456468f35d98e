"""A thousand viewers on one engine; `tests/e2e/test_crowd.py` has a hundred."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from streamer.bench import commit, machine
from tests.delivery import deliver

RESULTS = Path(__file__).parent / "results" / "viewers.jsonl"
SECONDS = 20


def test_a_thousand_viewers(tmp_path: Path) -> None:
    """All alone, then with a hundred among them that read nothing; appends to `results`."""
    rows = [
        asyncio.run(deliver(tmp_path, viewers=viewers, slow=slow, seconds=SECONDS)).row()
        for viewers, slow in ((1000, 0), (1100, 100))
    ]
    log: dict[str, Any] = {
        "rows": rows,
        "machine": machine(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "commit": commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(log) + "\n")
    print("\n" + json.dumps(log, indent=1))
    alone, beside = rows
    for row in rows:
        assert (row["disorder"], row["unequal"]) == (0, 0)
    assert beside["cpu_us_per_frame"] < 1.5 * alone["cpu_us_per_frame"]
    if alone["late_ms"] < 20:  # else the machine is busy with something else
        assert alone["lost"] == 0
        assert alone["p99_ms"] < 1000 / 15
        assert alone["cpu"] < 0.9
        assert beside["p99_ms"] < 1.5 * alone["p99_ms"] + 10
