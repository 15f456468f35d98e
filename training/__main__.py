"""`python -m training COMMAND`: corpora, training, evaluation."""

import argparse
import sys

from streamer.errors import GestureError
from training import (
    asr,
    corpus,
    distil,
    evaluate,
    exporting,
    fit,
    hasty,
    importing,
    seeds,
    selection,
    throughput,
    train,
    transcribe,
    view,
    visemes,
)
from training.convert import command as convert


def main(arguments: list[str] | None = None) -> int:
    """Run a command; bad use or input is one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        convert,
        corpus,
        fit,
        hasty,
        train,
        throughput,
        distil,
        evaluate,
        importing,
        exporting,
        asr,
        transcribe,
        seeds,
        selection,
        view,
        visemes,
    ):
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except GestureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
