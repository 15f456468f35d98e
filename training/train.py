"""`python -m training train`: a recipe on a store, to the folder of a run.

    python -m training train ha2g STORE -o RUN
    python -m training train hop/no_graph STORE -o RUN --set batch=64
    torchrun --nproc-per-node 8 -m training train ha2g STORE -o RUN

Started again, a run goes on from its newest point, with the same losses as one
that was never stopped.
"""

import argparse
import json
from pathlib import Path

from streamer.errors import UsageError
from training.loop.train import Machine, Training
from training.recipe import Recipe, load_recipe, recipe_names
from training.store.reader import Store


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `train` to the training command line."""
    parser = commands.add_parser("train", help="train a network of the papers on a store")
    parser.add_argument("recipe", nargs="?", help="NAME or NAME/VARIATION; without one: a list")
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("-o", "--out", type=Path, help="folder of the run")
    parser.add_argument("--steps", type=int, help="short for --set steps=N")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change a setting of the recipe, e.g. batch=64 or weights.physical=0",
    )
    parser.add_argument("--fgd", type=Path, metavar="RUN", help="of autoencoder; FGD decides")
    parser.add_argument(
        "--embeddings", type=Path, metavar="FILE.vec", help="fastText vectors to begin with"
    )
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--devices", default="1", metavar="N|auto", help="processes here")
    parser.add_argument("--nodes", type=int, default=1, help="machines, each with --devices")
    parser.add_argument("--workers", type=int, default=0, help="processes that read windows")
    parser.add_argument("--compile", action="store_true", help="short for --set compile=true")
    parser.add_argument("--show", action="store_true", help="print the recipe as JSON and stop")
    parser.set_defaults(run=_run)


def changed_recipe(args: argparse.Namespace, skeleton: str) -> Recipe:
    """Return the recipe with what the command line changes."""
    changes = list(args.changes)
    if args.steps is not None:
        changes.append(f"steps={args.steps}")
    if args.compile:
        changes.append("compile=true")
    return load_recipe(args.recipe, skeleton, changes)


def _run(args: argparse.Namespace) -> int:
    if args.recipe is None:
        for name, variations in recipe_names().items():
            print(name, *(f"{name}/{variation}" for variation in variations), sep="\n  ")
        return 0
    if args.store is None or (args.out is None and not args.show):
        raise UsageError("train needs RECIPE STORE -o RUN")
    store = Store(args.store)
    recipe = changed_recipe(args, store.skeleton.name)
    if args.show:
        print(json.dumps(recipe.to_json(), indent=1))
        return 0
    machine = Machine(
        accelerator=args.accelerator,
        devices=_devices(args.devices),
        nodes=args.nodes,
        workers=args.workers,
    )
    training = Training(store, args.out, recipe, machine, args.fgd, args.embeddings)
    done = training.run()
    if training.fabric.is_global_zero:
        print(f"{recipe.name}: {done} steps, {args.out}")
    return 0


def _devices(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdigit() or not int(text):
        raise UsageError(f"--devices {text}: expected a number from 1, or auto")
    return int(text)
