"""From the engine's frame to the bone that a page draws, and how soon a page shows its avatar."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from streamer.humanoid import BONE_INDEX
from streamer.types import SkeletonFrame
from tests.e2e.overlay_stream import FPS, OverlayServer, euler, frame

STAND = 6
"""Frames for which a pose stands before the next."""
BONE = "leftLowerArm"
RAISED = euler(-0.9, -1.25, 0.1)
LOWERED = euler(-0.1, -0.25, 0.1)

# The page's own drawing is registered first, so this sees what has just been drawn.
LOG = """() => {
  const log = (window.__log = []);
  const look = (at) => {
    const bone = window.__gesture?.bones()[BONE];
    if (bone) log.push([performance.timeOrigin + at, ...bone]);
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}""".replace("BONE", json.dumps(BONE))
FIRST = """() => {
  const look = () => {
    const state = window.__gesture?.state;
    if (state?.avatar && state.mode === "live") window.__first = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLatency:
    """Milliseconds from a frame's leaving the engine to `requestAnimationFrame`.

    begins: until the bone has left the old pose; there: until it has reached the
    new one, one frame (66.7 ms) of interpolation later. screen_fps: how often
    the page drew. first_ms: from navigation to the first live picture.
    """

    poses: int
    begins_p50: float
    begins_p99: float
    there_p50: float
    there_p99: float
    screen_fps: float
    first_ms: float

    def row(self) -> dict[str, float]:
        """Return it for JSON, rounded."""
        return {k: round(v, 1) for k, v in asdict(self).items()}


def stepping(index: int) -> SkeletonFrame:
    """Return a frame in which one bone stands still, then jumps."""
    shown = frame(index)
    rotations = frame(0).rotations.copy()
    rotations[BONE_INDEX[BONE]] = RAISED if index // STAND % 2 == 0 else LOWERED
    return replace(shown, rotations=rotations)


def measure(browser: Browser, folder: Path, *, poses: int) -> PageLatency:
    """Open the page on a stream whose bone jumps every `STAND` frames, and watch it."""
    with OverlayServer(folder, pose=stepping) as server:
        page = browser.new_page(viewport={"width": 320, "height": 240})
        page.add_init_script(f"({FIRST})()")
        page.goto(server.address.url + "?hud=0", timeout=120_000)
        deadline = time.monotonic() + 120
        while (first := page.evaluate("window.__first ?? null")) is None:
            assert time.monotonic() < deadline, "the page shows no avatar"
            page.wait_for_timeout(100)
        page.wait_for_timeout(3000)  # the clock has settled
        page.evaluate(LOG)
        begins, there = list[float](), list[float]()
        deadline = time.monotonic() + poses * STAND / FPS + 120
        while len(begins) < poses:
            assert time.monotonic() < deadline, f"{len(begins)} jumps in two minutes more than due"
            page.wait_for_timeout(min(poses - len(begins) + 1, 20) * STAND / FPS * 1000)
            log = np.array(page.evaluate("window.__log"), np.float64)
            begins, there = jumps(server.sent, log)
        page.close()
    at = log[:, 0]
    p = np.percentile
    return PageLatency(
        poses=len(begins),
        begins_p50=float(p(begins, 50)),
        begins_p99=float(p(begins, 99)),
        there_p50=float(p(there, 50)),
        there_p99=float(p(there, 99)),
        screen_fps=float((len(log) - 1) / (at[-1] - at[0]) * 1e3),
        first_ms=float(first),
    )


def jumps(sent: Mapping[int, float], log: np.ndarray) -> tuple[list[float], list[float]]:
    """Return when each jump of the bone began to show and was there, ms after it was sent.

    sent: when each frame went out, seconds. log: [N, 5], times in ms and rotations.
    Jumps that a busy machine drew no picture of are left out.
    """
    begins, there, at = list[float](), list[float](), log[:, 0]
    for index in sorted(sent):
        left, stands = sent[index] * 1e3, sent[index] * 1e3 + STAND / FPS * 1e3
        if index % STAND or not at[0] < left or not stands < at[-1]:
            continue
        old, new = log[at <= left][-1, 1:], log[at <= stands][-1, 1:]
        if angle(old[None], new)[0] < 0.3:
            continue
        share = progress(log[:, 1:], old, new)
        after = (at > left) & (at <= stands)
        begun, arrived = at[after & (share > 0.01)], at[after & (share > 0.99)]
        if len(begun) and len(arrived):
            begins.append(begun[0] - left)
            there.append(arrived[0] - left)
    return begins, there


def progress(drawn: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return how far each rotation [N, 4] is on its way from `old` to `new`, 0 to 1."""
    return angle(drawn, old) / angle(old[None], new)[0]


def angle(q: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Return the angles between rotations [N, 4] and one."""
    return 2 * np.arccos(np.clip(np.abs(q @ to), 0, 1))
