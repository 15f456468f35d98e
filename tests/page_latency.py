"""From the engine's frame to the bone that a page draws, and how soon a page shows its avatar."""

import json
import time
from dataclasses import asdict, dataclass
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
    made = frame(0)
    rotations = made.rotations.copy()
    raised = index // STAND % 2 == 0
    rotations[BONE_INDEX[BONE]] = RAISED if raised else LOWERED
    shown = frame(index)
    return SkeletonFrame(
        **{
            name: getattr(shown, name)
            for name in SkeletonFrame.__dataclass_fields__
            if name != "rotations"
        },
        rotations=rotations,
    )


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
        page.wait_for_timeout((poses + 1) * STAND / FPS * 1000)
        log = np.array(page.evaluate("window.__log"), np.float64)
        page.close()
    begins, there = [], []
    at = log[:, 0]
    for index in sorted(server.sent):
        sent = server.sent[index] * 1e3
        if index % STAND or not at[0] < sent < at[-1] - STAND / FPS * 1e3:
            continue
        old = log[at <= sent][-1, 1:]
        late = sent + STAND / FPS * 1e3  # by then it stands in the new pose
        new = log[at <= late][-1, 1:]
        share = progress(log[:, 1:], old, new)
        after = (at > sent) & (at <= late)
        begun, arrived = at[after & (share > 0.01)], at[after & (share > 0.99)]
        if len(begun) and len(arrived):
            begins.append(begun[0] - sent)
            there.append(arrived[0] - sent)
    assert len(begins) >= 3, f"{len(begins)} jumps were seen in {len(log)} pictures"
    p = np.percentile
    return PageLatency(
        poses=len(begins),
        begins_p50=float(p(begins, 50)),
        begins_p99=float(p(begins, 99)),
        there_p50=float(p(there, 50)),
        there_p99=float(p(there, 99)),
        screen_fps=(len(log) - 1) / (at[-1] - at[0]) * 1e3,
        first_ms=float(first),
    )


def progress(drawn: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return how far each rotation [N, 4] is on its way from `old` to `new`, 0 to 1."""
    whole = angle(old[None], new)[0]
    assert whole > 0.3, "the bone did not move"
    return angle(drawn, old) / whole


def angle(q: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Return the angles between rotations [N, 4] and one."""
    return 2 * np.arccos(np.clip(np.abs(q @ to), 0, 1))
