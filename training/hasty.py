"""`python -m training hasty`: a network trained for 20 seconds, which every evaluation must fail.

The same network, losses and kind of corpus as the real one, cut short: what is
left passes whatever cannot tell a gesture from a twitch (streaming.md, "Measures").
The time is counted in steps, so that the result does not depend on the machine.
"""

import argparse
import tempfile
from pathlib import Path

from export.artifact import build
from models.checkpoint import load_checkpoint
from streamer.errors import UsageError
from training.corpus import Job, build_corpus
from training.fit import FitOptions, fit
from training.losses_stream import LossWeights

STEPS = 20
"""Of 24 crops, about a second each on one core of a server (measured: 1.04 s)."""

_SEED = 77
_CARD = """# hasty
Trained for {steps} steps as an example of what an evaluation must fail.
"""
_LICENCE = Path(__file__).parent / "checkpoints" / "ha2g-stream-small" / "LICENSE"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `hasty` to the training command line."""
    parser = commands.add_parser("hasty", help="train for 20 s what an evaluation must fail")
    parser.add_argument("-o", "--out", type=Path, required=True, help="artifact folder to write")
    parser.add_argument("--corpus", type=Path, help="one that is there; default: 12 minutes made")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "gesture-streamer")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.out.exists():
        raise UsageError(f"{args.out}: is there already; name a new folder")
    with tempfile.TemporaryDirectory() as scratch:
        corpus = args.corpus
        if corpus is None:
            corpus = Path(scratch) / "corpus"
            job = Job(data=args.data, out=corpus, cache=args.cache, hours=0.2, seed=_SEED, jobs=1)
            build_corpus(job)
        options = FitOptions(steps=args.steps, held=1, keep=args.steps)
        trained = fit(corpus, Path(scratch) / "run", options, LossWeights())
        card = _CARD.format(steps=args.steps)
        licence = _LICENCE.read_text("utf-8")
        build(load_checkpoint(trained), args.out, card, licence, seconds=4)
    print(args.out)
    return 0
