"""The budgets of DESIGN 10 on this machine, for the default model; rows go to a log.

Run with `python dev.py bench`, on a machine that does nothing else.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from streamer.backends.loading import DEFAULT_MODEL, built_in_models
from tests.support import require

ROOT = Path(__file__).parents[2]
LOG = Path(__file__).parent / "results" / "cpu.jsonl"
FRAME_MS = 1000 / 15


def gesture(*words: str) -> dict[str, Any]:
    require(DEFAULT_MODEL in built_in_models(), f"{DEFAULT_MODEL} is not in the checkout")
    command = [sys.executable, "-m", "streamer.cli", *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def steps() -> dict[int, dict[str, Any]]:
    LOG.parent.mkdir(exist_ok=True)
    result = gesture("bench", "--slots", "1,8,32,128", "--seconds", "10", "--log", str(LOG))
    for row in result["rows"]:
        print(row)
    return {row["slots"]: row for row in result["rows"]}


def test_a_step_of_one_session_is_quick(steps: dict[int, dict[str, Any]]) -> None:
    assert steps[1]["step_ms"]["p99"] <= 10


def test_a_core_serves_a_hundred_engine_sessions(steps: dict[int, dict[str, Any]]) -> None:
    assert steps[128]["step_ms"]["p99"] <= FRAME_MS, "128 sessions, all in one step"
    assert max(row["sessions_at_deadline"] for row in steps.values()) >= 100


def test_live_is_on_time_small_and_starts_at_once() -> None:
    began = time.perf_counter()
    words = ("--source", "demo", "--port", "0", "--duration", "30")
    result = gesture("live", *words)
    took = time.perf_counter() - began
    print(json.dumps(result))
    assert result["frames"] == 450
    assert result["deadline_misses"] == 0
    assert result["latency_ms"]["compute"]["p99"] <= 10
    assert result["latency_ms"]["mic_to_wire"]["p99"] <= 25
    assert result["rss_mb"] <= 400
    # from exec to exit, less the voice: an upper bound of start-up that includes the end
    assert took - 30 <= 3
    assert result["first_frame_s"] <= 3
