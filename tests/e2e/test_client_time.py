"""The clients' clocks and playback in made-up time.

The same frames at the same times must give the same poses in Python, C# and C++;
what those are is held to hand-computed cases.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.clients import probes
from tests.clients.probes import CLIENTS, quaternions


@pytest.fixture(params=CLIENTS)
def core(request) -> str:
    return request.param


def script(
    *,
    seconds: float,
    delay,
    drift: float = 0.0,
    reset_at: int = -1,
    hole: range = range(0),
    updates_fps: float = 60.0,
    more: float = 2.0,
) -> str:
    """Write frames at 15 a second with delays, and updates between, in order of time."""
    rng = np.random.default_rng(5)
    lines = [(0.0, "hello 100 15 2")]
    last = 0.0
    for i in range(int(15 * seconds)):
        sample = round(i * 16000 / 15)
        pose = np.concatenate([rng.normal(size=3), quaternions(rng, 2).ravel()]).round(4)
        values = " ".join(map(repr, pose.tolist()))
        at = last = max(last, sample / 16000 * (1 + drift) + delay(i))
        if i not in hole:
            lines.append((at, f"frame {100 + at!r} {sample} {int(i == reset_at)} {values}"))
    for k in range(int(updates_fps * (seconds + more))):
        at = k / updates_fps + 0.0101
        lines.append((at, f"update {100 + at!r}"))
    return "\n".join(text for _, text in sorted(lines, key=lambda line: line[0])) + "\n"


def jitter(i: int) -> float:
    return 0.03 + 0.02 * ((i * 7919) % 13) / 13


def burst(i: int) -> float:
    """Five frames wait for the last of them, and come at once."""
    return 0.3 - (i - 40) / 15 if 40 <= i < 45 else 0.03


SCRIPTS = {
    "steady": script(seconds=4, delay=lambda i: 0.05),
    "jitter": script(seconds=6, delay=jitter),
    "stall and burst": script(seconds=6, delay=burst),
    "hole": script(seconds=6, delay=jitter, hole=range(30, 36)),
    "long hole": script(seconds=8, delay=jitter, hole=range(30, 70)),
    "reset": script(seconds=5, delay=jitter, reset_at=40),
    "jump": script(seconds=6, delay=lambda i: 0.03 if i < 40 else 0.9),
    "pause": script(seconds=6, delay=lambda i: 0.03 if i < 40 else 10.03, more=12),
    "drift": script(seconds=20, delay=jitter, drift=200e-6),
}


def shown(output: str) -> tuple[np.ndarray, list[str]]:
    """Return [updates, sample weight jitter root rotations] and the modes."""
    rows = [line.split(" ") for line in output.splitlines()]
    numbers = np.array([[*row[:2], *row[3:]] for row in rows], np.float64)
    for start in (6, 10):  # q and -q are the same rotation
        q = numbers[:, start : start + 4]
        q *= np.where(q[np.arange(len(q)), np.abs(q).argmax(1)] < 0, -1, 1)[:, None]
    return numbers, [row[2] for row in rows]


@pytest.mark.parametrize("name", SCRIPTS)
def test_all_clients_show_the_same(name, tmp_path):
    """To 1e-5: they compute in double precision and store floats."""
    path = tmp_path / "script"
    path.write_text(SCRIPTS[name])
    want, modes = shown(probes.run("python", "sim", path))
    assert "live" in modes
    for client in ("unity", "unreal"):
        got, their_modes = shown(probes.run(client, "sim", path))
        assert their_modes == modes, client
        assert np.abs(got - want)[:, 0].max() < 0.01, client  # samples
        assert np.abs(got - want)[:, 1:].max() < 1e-5, client


def play(core: str, text: str, tmp_path: Path) -> tuple[np.ndarray, list[str]]:
    path = tmp_path / "script"
    path.write_text(text)
    return shown(probes.run(core, "sim", path))


def test_on_a_steady_stream_the_buffer_adds_one_frame_and_no_more(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["steady"], tmp_path)
    at = np.arange(len(numbers)) / 60 + 0.0101
    live = [i for i, mode in enumerate(modes) if mode == "live"]
    lag = at[live] - numbers[live, 0] / 16000
    assert np.allclose(lag, 0.05 + 1 / 15, atol=0.001)  # samples are rounded to 1/16 ms
    assert numbers[:, 2].max() < 1e-4  # jitter


def test_jitter_costs_what_nine_of_ten_frames_need_and_the_beat_is_even(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["jitter"], tmp_path)
    live = [i for i, mode in enumerate(modes) if mode == "live"]
    assert 0.012 < numbers[live[-1], 2] <= 0.0185  # of 20 ms
    steps = np.diff(numbers[live[30:], 0]) / (16000 / 60)
    assert (np.abs(steps - 1) < 0.07).all()  # twice the slew: nobody sees it


def test_ten_minutes_of_drift_are_followed(core, tmp_path):
    """200 ppm are 120 ms in ten minutes; the lag stays, nothing is skipped or held."""
    text = script(seconds=600, delay=lambda i: 0.05, drift=200e-6, updates_fps=5)
    numbers, modes = play(core, text, tmp_path)
    at = np.arange(len(numbers)) / 5 + 0.0101
    live = [i for i, mode in enumerate(modes) if mode == "live"]
    assert len(live) > 0.98 * 600 * 5
    lag = at[live] - numbers[live, 0] / 16000 * (1 + 200e-6)
    # The least delay of the last 8 s lags a slow sender by 8 s x 200 ppm = 1.6 ms.
    assert np.abs(lag - (0.05 + 1 / 15)).max() < 0.004


def test_a_stream_that_paused_for_long_is_met_at_once(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["pause"], tmp_path)
    at = np.arange(len(numbers)) / 60 + 0.0101
    live = [i for i, mode in enumerate(modes) if mode == "live" and at[i] > 13]
    assert len(live) > 60 * 2
    assert np.allclose(at[live] - numbers[live, 0] / 16000, 10.03 + 1 / 15, atol=0.001)


def test_a_stream_that_is_gone_fades_and_comes_back(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["long hole"], tmp_path)
    order = [modes[0]] + [b for a, b in pairwise(modes) if a != b]
    assert order == ["rest", "live", "held", "rest", "live", "held", "rest"]
    back = modes.index("live", modes.index("rest", modes.index("held")))
    assert numbers[modes.index("held") + 5, 1] == 1
    assert numbers[back, 1] < 1
    # No pose jumps while it comes back: a step is at most what the 0.3 s blend makes.
    step = np.abs(np.diff(numbers[back - 2 : back + 10, 3:6], axis=0)).max()
    assert step < 0.5
