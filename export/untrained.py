"""An artifact with random weights: a step's time does not depend on what it has learnt."""

from pathlib import Path
from typing import Any, cast

import torch

from export.artifact import build
from models.checkpoint import Checkpoint
from models.families import Family, fresh_network
from streamer.skeleton import load_skeleton

_CODES = 120
_SECONDS = 2.0  # the full gate is for weights that ship


def untrained(
    folder: Path,
    *,
    family: Family = "ha2g_stream",
    preset: str = "small",
    skeleton: str = "upper_body",
    half: bool = False,
    program: bool = False,
) -> Checkpoint:
    """Write the artifact of a preset and return the network; half, program: as in `build`."""
    cast(Any, torch).manual_seed(0)  # partly untyped
    codes = torch.randn(_CODES, 12)
    network = fresh_network(family, preset, load_skeleton(skeleton), codes).eval()
    checkpoint = Checkpoint(
        name=folder.name, preset=preset, network=network, provenance={"trained": False}
    )
    card = "# Random weights\n\nFor measuring speed; it moves, and means nothing.\n"
    build(checkpoint, folder, card, "CC0-1.0\n", half=half, program=program, seconds=_SECONDS)
    return checkpoint
