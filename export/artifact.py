"""Checkpoint to artifact folder: graph, manifest, model card, licence (DESIGN 8)."""

import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from export.half import halve
from export.onnx_graph import export_step
from export.parity import Parity, verify
from export.program import export_program
from models.checkpoint import Checkpoint
from models.families import StreamNetwork, deployed
from models.ha2g_stream import COLUMNS
from models.stepping import StepModule
from streamer.spec import (
    AudioSpec,
    Manifest,
    ModelSpec,
    TensorSpec,
    WordSpec,
    load_manifest,
    sha256,
    write_manifest,
)

LICENCE = "LGPL-2.1-only"
"""Of weights whose provenance names none: those of the rule-made corpus, learnt from LGPL clips."""


def model_spec(checkpoint: Checkpoint) -> ModelSpec:
    """Return the step contract of a checkpoint's network."""
    network, config = checkpoint.network, checkpoint.network.config
    return ModelSpec(
        name=checkpoint.name,
        network=checkpoint.family,
        preset=checkpoint.preset,
        fps=Fraction(15),
        frames_per_step=1,
        lookaheads=config.lookaheads,
        default_lookahead=2,
        skeleton=network.skeleton,
        audio=AudioSpec(window=config.window, columns=COLUMNS),
        words=WordSpec(buckets=config.buckets, slots=config.word_slots),
        styles=config.styles,
        default_style="lively",
        inputs=(
            TensorSpec(name="audio", shape=(COLUMNS, config.window)),
            TensorSpec(name="word", shape=(config.word_slots,), dtype="int32"),
            TensorSpec(name="word_info", shape=(3,)),
            TensorSpec(name="lookahead", shape=(1,), dtype="int32"),
            TensorSpec(name="style", shape=(len(config.styles),)),
            TensorSpec(name="seed", shape=(3,)),
        ),
        outputs=(
            TensorSpec(name="directions", shape=(network.skeleton.vectors, 3)),
            TensorSpec(name="voice", shape=(1,)),
        ),
        state=tuple(TensorSpec(name=n, shape=s) for n, s in network.state_shapes().items()),
    )


def step_module(network: StreamNetwork, spec: ModelSpec) -> StepModule:
    """Return the masked step of a network in the order of its spec, constants folded."""
    inputs = tuple(t.name for t in spec.inputs)
    return StepModule(deployed(network), inputs, tuple(t.name for t in spec.outputs)).eval()


def build(
    checkpoint: Checkpoint,
    folder: Path,
    card: str,
    licence_text: str,
    *,
    half: bool = False,
    program: bool = False,
    seconds: float = 60.0,
) -> Parity:
    """Write a verified artifact folder; nothing is left behind if it differs from torch.

    card: the text of MODEL_CARD.md. half: `model.fp16.onnx` too; program:
    `model.pt2` too; seconds: how long each is compared. Raises `RuntimeError`
    naming the error when a graph and the network disagree.
    """
    spec = model_spec(checkpoint)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch)
        example = example_inputs(spec)
        module = step_module(checkpoint.network, spec)
        names = ["model.onnx", "MODEL_CARD.md", "LICENSE"]
        export_step(module, example, made / "model.onnx")
        if half:
            names.append("model.fp16.onnx")
            halve(made / "model.onnx", made / "model.fp16.onnx")
        if program:
            names.append("model.pt2")
            export_program(module, example, made / "model.pt2")
        (made / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        (made / "LICENSE").write_text(licence_text, encoding="utf-8")
        manifest = Manifest(
            spec=spec,
            licence=str(checkpoint.provenance.get("licence", LICENCE)),
            training=checkpoint.provenance,
            files={name: sha256(made / name) for name in names},
        )
        write_manifest(made, manifest)
        load_manifest(made)
        parity = verify(checkpoint.network, made, seconds=seconds)
        folder.mkdir(exist_ok=True)
        for name in (*names, "manifest.json"):
            shutil.move(made / name, folder / name)
    return parity


def example_inputs(spec: ModelSpec) -> list[Tensor]:
    """Return two slots of example tensors in graph order."""
    kinds = {"float32": torch.float32, "int32": torch.int32}
    masks = [torch.tensor([True, False]), torch.tensor([True, True])]
    inputs = [torch.ones(2, *t.shape, dtype=kinds[t.dtype]) for t in spec.inputs]
    return [*inputs, *masks, *(torch.zeros(2, *t.shape) for t in spec.state)]
