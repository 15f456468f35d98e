"""Where one window's frames meet the next one's: the hands must not jump.

Jerk is the third difference of the directions. At a seam, that is where it
spans two steps, it may be 1.5 times what it is inside a step.
"""

from collections.abc import Callable
from fractions import Fraction
from importlib.resources import as_file, files

import numpy as np
import pytest
import soundfile
import torch

from models import sliding
from models.ha2g_window import HA2GWindow
from models.hop_window import HopWindow
from streamer.clock import FrameClock
from streamer.types import Float32
from tests.golden_files import one_thread  # noqa: F401  (an autouse fixture)
from tests.window_networks import SPEAKERS, fitted, narrow_ha2g, narrow_hop

CLOCK = FrameClock(fps=Fraction(15))
SECONDS = 7.0
MOST = 1.5


def speech() -> Float32:
    """Return the demo's first seconds: a real voice."""
    with as_file(files("streamer") / "data" / "demo" / "speech.flac") as path:
        samples, rate = soundfile.read(path, dtype="float32", frames=int(SECONDS * 16_000))
    assert rate == 16_000
    return samples


def moved(window: HA2GWindow | HopWindow, samples: Float32, lookahead: int) -> Float32:
    """Return the poses [T, D] that a session emits, with a word now and then."""
    state = {n: torch.zeros(1, *s) for n, s in window.state_shapes().items()}
    seed = torch.tensor([[11.0, 222.0, 3333.0]])
    state = window.fresh_state(state, {"seed": seed})
    style = torch.zeros(1, SPEAKERS)
    style[0, 1] = 1.0
    padded = np.concatenate([np.zeros(sliding.CHUNK, np.float32), samples])
    size = window.frames
    out: list[Float32] = []
    for step in range(CLOCK.frames_in(len(samples)) // size):
        frames = range(step * size, (step + 1) * size)
        ends = [CLOCK.end(n) for n in frames]
        word = torch.zeros(1, size, window.words.slots, dtype=torch.int32)
        info = torch.zeros(1, size, 3)
        if step % 3 == 0:
            word[0, 0, 0], info[0, 0, 0] = 4 + step % 8, 1.0
        inputs = {
            "audio": torch.tensor(np.stack([padded[e : e + sliding.CHUNK] for e in ends]))[
                None, :, None
            ],
            "hop": torch.tensor([[[CLOCK.end(n) - CLOCK.start(n)] for n in frames]]),
            "word": word,
            "word_info": info,
            "lookahead": torch.tensor([[lookahead]]),
            "style": style,
            "seed": seed,
        }
        with torch.no_grad():
            outputs, state = window.step(inputs, state)
        out.append((outputs["directions"][0] - window.mean).flatten(1).numpy())
    return np.concatenate(out)


def seam_over_inside(poses: Float32, size: int) -> float:
    """Return the root mean square jerk at the seams over that inside, past the first window."""
    jerk = np.square(np.diff(poses.astype(np.float64), 3, axis=0)).mean(1)[sliding.FRAMES :]
    first = np.arange(sliding.FRAMES, sliding.FRAMES + len(jerk))
    seam = first // size != (first + 3) // size
    return float(np.sqrt(jerk[seam].mean() / jerk[~seam].mean()))


def make_fitted(size: int) -> HA2GWindow:
    return HA2GWindow(fitted(narrow_ha2g(), speech()), frames=size).eval()


MAKE: dict[str, Callable[[int], HA2GWindow | HopWindow]] = {
    "ha2g": lambda size: HA2GWindow(narrow_ha2g(), frames=size).eval(),
    "ha2g fitted": make_fitted,
    "hop": lambda size: HopWindow(narrow_hop(), frames=size).eval(),
}


@pytest.mark.parametrize(
    ("network", "size", "lookahead"), [("ha2g", 4, 2), ("ha2g fitted", 5, 0), ("hop", 4, 2)]
)
def test_jerk_at_a_seam_is_like_that_inside(network: str, size: int, lookahead: int):
    samples = speech()
    poses = moved(MAKE[network](size), samples, lookahead)
    assert poses.std(0).max() > 1e-3, "the network does not move, so a ratio would prove nothing"
    assert seam_over_inside(poses, size) <= MOST


def test_without_the_fade_a_seam_shows(monkeypatch: pytest.MonkeyPatch):
    """The measure can fail: raw windows side by side."""
    monkeypatch.setattr(sliding, "FADE", 1e-9)
    samples = speech()
    assert seam_over_inside(moved(MAKE["ha2g"](4), samples, 2), 4) > MOST
