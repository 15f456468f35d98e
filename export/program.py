"""A step module to `model.pt2`, which the torch back end runs."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from export.onnx_graph import MOST_SLOTS
from models.stepping import StepModule


def export_program(module: StepModule, example: Sequence[Tensor], path: Path) -> None:
    """Write the step as an exported program with a dynamic slot axis.

    example: one tensor per input, two slots.
    """
    tools = cast(Any, torch.export)  # partly untyped
    slots = tools.Dim("slots", min=1, max=MOST_SLOTS)
    with warnings.catch_warnings(), torch.no_grad():
        # its archive warns that views of one storage are saved one by one
        warnings.simplefilter("ignore")
        program = tools.export(
            module, tuple(example), dynamic_shapes=(tuple({0: slots} for _ in example),)
        )
        tools.save(program, path)
