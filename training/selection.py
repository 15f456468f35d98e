"""`python -m training select`: what each choice of the default model is worth, measured.

Variants of the small `ha2g_stream` are trained on one corpus for the same few
steps with the same draws, then run freely, offline, over speech that none of
them has heard, and held against the causal plan (`training/relative.py`). Lookahead
and the dice's sharpness need no training of their own. A finished variant is kept,
so a stopped table goes on where it was.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from export.parity import draw
from models.checkpoint import load_checkpoint
from models.families import StreamNetwork
from models.frontend import column_windows
from models.ha2g_stream import COLUMNS, PRESETS, StreamConfig
from streamer.windowing import DEFAULT_SEED, gesture_seed
from training.clips import load_library
from training.evaluate import Bench
from training.fit import FitOptions, fit
from training.losses_stream import LossWeights
from training.planner import STYLES
from training.played import RATE, UNSEEN, compose, speech_sets
from training.relative import BOUNDS, Measured

Float = npt.NDArray[np.float64]
_LIVELY = [style.name for style in STYLES].index("lively")
_SMALL = PRESETS["small"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One choice, as what it changes.

    config, losses, options: fields other than the default model's; lookahead in
    frames; sharpness: of the rhythm's dice. `trained` names the run it shares.
    """

    name: str
    trained: str = "as shipped"
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    losses: Mapping[str, float] = field(default_factory=dict[str, float])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    lookahead: int = 2
    sharpness: float | None = None


VARIANTS = (
    Variant(name="as shipped"),
    Variant(name="A = 0", lookahead=0),
    Variant(name="A = 4", lookahead=4),
    Variant(name="dice not sharpened", sharpness=1.0),
    Variant(
        name="no velocity, no acceleration loss",
        trained="no velocity",
        losses={"speed": 0.0, "shake": 0.0},
    ),
    Variant(name="code of 4 numbers", trained="code 4", options={"code_numbers": 4}),
    Variant(name="no gesture code", trained="code 0", options={"code_numbers": 0}),
    Variant(
        name="half the width",
        trained="half",
        config={
            "hidden": tuple(n // 2 for n in _SMALL.hidden),
            "channels": tuple(n // 2 for n in _SMALL.channels),
        },
    ),
)


def free_run(
    network: StreamNetwork, audio: npt.NDArray[np.float32], steps: int, lookahead: int, seed: int
) -> Float:
    """Return unit directions [steps - lookahead, D, 3] of a session in style `lively`, no words."""
    config = network.config
    padded = np.concatenate([audio, np.zeros(RATE, np.float32)])
    windows = torch.tensor(column_windows(padded, steps, COLUMNS, config.window))
    image, level = network.features(windows)
    dice = np.asarray(gesture_seed(seed, 0), np.float32)
    style = torch.zeros(1, len(config.styles))
    style[0, _LIVELY] = 1.0
    drawn = network.generate(
        image[None],
        level[None],
        torch.zeros(1, steps, config.word_slots, dtype=torch.int32),
        torch.zeros(1, steps, 3),
        torch.tensor([[lookahead]]),
        style,
        network.codes[draw(network.dice, steps, dice)][None],
        torch.tensor(dice)[None],
    )
    poses = drawn.poses[-1][0].unflatten(-1, (-1, 3)) + network.mean
    return torch.nn.functional.normalize(poses, dim=-1).double().numpy()[lookahead:]


def select(
    corpus: Path, data: Path, out: Path, options: FitOptions
) -> dict[str, dict[str, Measured]]:
    """Return every variant's measures beside the plan; runs are kept in `out`."""
    sets = speech_sets(data)
    audio = compose([path for name in UNSEEN if name in sets for path in sets[name]])
    bench = Bench(audio, load_library(data / "smartbody_gestures"), DEFAULT_SEED)
    rows: dict[str, dict[str, Measured]] = {}
    for variant in VARIANTS:
        run = out / variant.trained.replace(" ", "-")
        if not (run / "checkpoint.json").is_file():
            config: StreamConfig = replace(_SMALL, **variant.config)
            weights = replace(LossWeights(), **variant.losses)
            fit(corpus, run, replace(options, **variant.options), weights, config=config)
        network = load_checkpoint(run).network
        if variant.sharpness is not None:
            network.rhythm.sharpness = variant.sharpness
        steps = bench.frames + variant.lookahead
        poses = free_run(network, bench.audio, steps, variant.lookahead, DEFAULT_SEED)
        rows[variant.name] = bench.measure(variant.name, poses, variant.lookahead).measures
    return rows


def table(rows: Mapping[str, Mapping[str, Measured]], steps: int) -> str:
    """Return the rows as Markdown."""
    names = list(BOUNDS)
    lines = [
        f"Each trained for {steps} steps; relative to the causal plan, silence in m/s, "
        "lag in frames, FGD of holding still's.",
        "",
        "| variant | " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for name, measures in rows.items():
        cells = " | ".join(f"{measures[n].relative:.2f}" for n in names)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `select` to the training command line."""
    parser = commands.add_parser("select", help="measure what each choice of the model is worth")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for runs and table")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--held", type=int, default=FitOptions().held)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    options = FitOptions(steps=args.steps, held=args.held, keep=args.steps)
    rows = select(args.corpus, args.data, args.out, options)
    text = table(rows, args.steps)
    described = {name: {k: asdict(m) for k, m in row.items()} for name, row in rows.items()}
    (args.out / "selection.md").write_text(text, encoding="utf-8")
    (args.out / "selection.json").write_text(json.dumps(described, indent=1) + "\n", "utf-8")
    print(text)
    return 0
