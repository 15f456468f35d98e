"""A step module to ONNX, ready for onnxruntime and TensorRT."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from torch import Tensor

from models.stepping import StepModule

OPSET = 18
FORBIDDEN = frozenset({"GRU", "LSTM", "RNN", "Loop", "Scan", "If", "STFT", "DFT"})
"""Nodes that TensorRT turns into loops or does not speed up (spec/tensorrt.md)."""


def export_step(module: StepModule, example: Sequence[Tensor], path: Path) -> None:
    """Write the step graph with a dynamic slot axis.

    example: one tensor per graph input, two slots. Raises `RuntimeError` where
    the graph holds a node that it must not.
    """
    names = (*module.inputs, "start", "ready", *module.state)
    outputs = (*module.outputs, *(f"next_{name}" for name in module.state))
    slots = torch.export.Dim("slots", min=1, max=65_536)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = cast(Any, torch.onnx).export(  # partly untyped
            module,
            tuple(example),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=(tuple({0: slots} for _ in example),),
        )
    program.optimize()
    model = cast(onnx.ModelProto, program.model_proto)
    used = {node.op_type for node in model.graph.node}
    if bad := sorted(used & FORBIDDEN):
        raise RuntimeError(f"{path.name}: nodes {', '.join(bad)} must be written out")
    _name_slot_axis(model)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    checker, writer = cast(Any, onnx.checker), cast(Any, onnx)
    checker.check_model(model, full_check=True)
    writer.save_model(model, path)


def _name_slot_axis(model: onnx.ModelProto) -> None:
    """Call the leading axis of every input and output `slots`."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "slots"
