"""`python -m export build|verify`: checkpoints to artifacts, each proved equal to torch."""

import argparse
import sys
from pathlib import Path

from export.artifact import build
from export.parity import verify
from models.checkpoint import load_checkpoint
from streamer.errors import GestureError


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
    args = parser.parse_args(argv)
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        if args.command == "build":
            card = (args.card or args.checkpoint / "MODEL_CARD.md").read_text("utf-8")
            licence = (args.licence or args.checkpoint / "LICENSE").read_text("utf-8")
            half = args.precision == "fp16"
            parity = build(checkpoint, args.out, card, licence, half=half, program=args.pt2)
        else:
            parity = verify(checkpoint.network, args.artifact, seconds=args.seconds)
    except (GestureError, OSError, RuntimeError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    print(f"{parity.frames} frames, step by step = offline within {parity.step_to_offline:.2g}")
    if parity.program is not None:
        print(f"model.pt2: within {parity.program:.2g}")
    if (half := parity.half) is not None:
        print(
            f"model.fp16.onnx, one step at a time: within {half.worst:.2g}, on average "
            f"{half.mean:.2g}; decides otherwise at {half.flips:.2%} of frames"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
