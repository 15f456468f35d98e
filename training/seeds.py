"""`python -m training seeds`: how varied the gestures are that a seed draws.

The gesture codes are drawn at random, so one seed may dwell on alike gestures
in its first minutes. This ranks seeds by their draws alone, without any
speech: the share of the variance of the drawn clips' apexes (both wrists)
that its first four principal components hold, the worst over the first one,
two and four minutes. Less is more varied. The engine's default seed is the best
of the first hundred.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.parity import draw
from models.dice import Dice
from streamer.windowing import gesture_seed
from training.clips import load_library

FPS = 15
MINUTES = (1, 2, 4)


def dwelling(indices: npt.NDArray[np.int64], apexes: npt.NDArray[np.float64]) -> float:
    """Return the worst share of variance in four components over the first minutes.

    indices: [T] code in force per frame; apexes: [M, 2, 3] of the clips.
    """
    worst = 0.0
    for minutes in MINUTES:
        shown = apexes[indices[: minutes * 60 * FPS]].reshape(-1, 6)
        values = np.linalg.svd(shown - shown.mean(0), compute_uv=False) ** 2
        worst = max(worst, float(values[:4].sum() / values.sum()))
    return worst


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `seeds` to the training command line."""
    parser = commands.add_parser("seeds", help="rank seeds by the variety of their gestures")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    library = load_library(args.data / "smartbody_gestures")
    dice = Dice(len(library.clips), shortest=15, longest=30)
    rows: list[tuple[float, int]] = []
    for seed in range(args.count):
        indices = draw(dice, max(MINUTES) * 60 * FPS, gesture_seed(seed, 0)).numpy()
        rows.append((dwelling(indices, library.apexes), seed))
    for share, seed in sorted(rows):
        print(f"{seed:>4} {share:.4f}")
    return 0
