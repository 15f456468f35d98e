"""`python -m export build|verify|untrained`: artifacts, each proved equal to torch."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from export.artifact import build
from export.parity import Parity, verify
from export.untrained import untrained
from models.checkpoint import load_checkpoint
from models.families import Family
from streamer.errors import GestureError
from streamer.skeleton import BUILT_IN


def main(argv: list[str] | None = None) -> int:
    """Run one export command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("build", help="checkpoint folder to artifact folder")
    made.add_argument("checkpoint", type=Path)
    made.add_argument("-o", "--out", type=Path, required=True)
    made.add_argument("--card", type=Path, help="MODEL_CARD.md; default: the checkpoint's")
    made.add_argument("--licence", type=Path, help="licence text; default: the checkpoint's")
    made.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        default="fp32",
        help="fp16: also model.fp16.onnx, for TensorRT",
    )
    made.add_argument("--pt2", action="store_true", help="also model.pt2, for the torch back end")
    checked = commands.add_parser("verify", help="compare an artifact with its checkpoint")
    checked.add_argument("artifact", type=Path)
    checked.add_argument("--checkpoint", type=Path, required=True)
    checked.add_argument("--seconds", type=float, default=60.0)
    random = commands.add_parser("untrained", help="an artifact of random weights, to measure")
    random.add_argument("family", choices=get_args(Family))
    random.add_argument("--preset", default="small")
    random.add_argument("--skeleton", choices=BUILT_IN, default="upper_body")
    random.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        match args.command:
            case "build":
                parity = _build(args)
            case "verify":
                network = load_checkpoint(args.checkpoint).network
                parity = verify(network, args.artifact, seconds=args.seconds)
            case _:
                untrained(args.out, family=args.family, preset=args.preset, skeleton=args.skeleton)
                print(args.out)
                return 0
    except (GestureError, OSError, RuntimeError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    _report(parity)
    return 0


def _build(args: argparse.Namespace) -> Parity:
    checkpoint = load_checkpoint(args.checkpoint)
    card = (args.card or args.checkpoint / "MODEL_CARD.md").read_text("utf-8")
    licence = (args.licence or args.checkpoint / "LICENSE").read_text("utf-8")
    half = args.precision == "fp16"
    return build(checkpoint, args.out, card, licence, half=half, program=args.pt2)


def _report(parity: Parity) -> None:
    print(f"{parity.frames} frames, step by step = offline within {parity.step_to_offline:.2g}")
    if parity.program is not None:
        print(f"model.pt2: within {parity.program:.2g}")
    if (half := parity.half) is not None:
        print(
            f"model.fp16.onnx, one step at a time: within {half.worst:.2g}, on average "
            f"{half.mean:.2g}; decides otherwise at {half.flips:.2%} of frames"
        )


if __name__ == "__main__":
    raise SystemExit(main())
