"""A step module to ONNX, ready for onnxruntime and TensorRT."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from torch import Tensor

from export.fusing import fold_fills
from models.stepping import StepModule

OPSET = 18
MOST_SLOTS = 65_536
FORBIDDEN = frozenset({"GRU", "LSTM", "RNN", "Loop", "Scan", "If", "STFT", "DFT"})
"""Nodes that TensorRT turns into loops or does not speed up (spec/tensorrt.md)."""


def export_step(module: StepModule, example: Sequence[Tensor], path: Path) -> None:
    """Write the step graph with a dynamic slot axis.

    example: one tensor per graph input, two slots. Raises `RuntimeError` where
    the graph holds a node that it must not.
    """
    names = (*module.inputs, "start", "ready", *module.state)
    outputs = (*module.outputs, *(f"next_{name}" for name in module.state))
    slots = torch.export.Dim("slots", min=1, max=MOST_SLOTS)
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
    unclip_integers(model)
    fold_fills(model)
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


def unclip_integers(model: onnx.ModelProto) -> None:
    """Write each integer `Clip` as `Max` and `Min`: TensorRT clips no integers."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    whole = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
    integers = {
        value.name
        for value in (*inferred.value_info, *inferred.input)
        if value.type.tensor_type.elem_type in whole
    }
    nodes = list[onnx.NodeProto]()
    for node in model.graph.node:
        if node.op_type != "Clip" or node.input[0] not in integers:
            nodes.append(node)
            continue
        value, (low, high), out = node.input[0], node.input[1:], node.output[0]
        nodes.append(onnx.helper.make_node("Max", [value, low], [f"{out}.low"]))
        nodes.append(onnx.helper.make_node("Min", [f"{out}.low", high], [out]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
