"""Nodes that a step graph can do without; the results stay the same, bit for bit."""

from collections import Counter

import onnx
from onnx import numpy_helper

BROADCASTING = frozenset({"Where", "Max", "Min"})


def fold_fills(model: onnx.ModelProto) -> int:
    """Give selections a scalar where the exporter filled a whole tensor with it.

    A fresh state is `zeros_like` in torch, which becomes `Shape` and `Expand` for
    each state tensor in every step. Where what is filled has the shape of another
    input of the same node, broadcasting does it. Returns how many were folded.
    """
    scalars = {t.name for t in model.graph.initializer if _size(t) == 1}
    maker = {out: node for node in model.graph.node for out in node.output}
    folded = 0
    for node in model.graph.node:
        if node.op_type not in BROADCASTING:
            continue
        for i, name in enumerate(node.input):
            fill = maker.get(name)
            if fill is None or fill.op_type != "Expand" or fill.input[0] not in scalars:
                continue
            shape = maker.get(fill.input[1])
            others = [other for j, other in enumerate(node.input) if j != i]
            if shape is not None and shape.op_type == "Shape" and shape.input[0] in others:
                node.input[i] = fill.input[0]
                folded += 1
    _drop_unused(model)
    return folded


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove the nodes whose results nobody reads any more."""
    wanted = Counter(name for node in model.graph.node for name in node.input)
    wanted.update(value.name for value in model.graph.output)
    kept = list[onnx.NodeProto]()
    for node in reversed(model.graph.node):  # readers come after makers
        if any(wanted[name] for name in node.output):
            kept.append(node)
        else:
            wanted.subtract(node.input)
    kept.reverse()
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _size(tensor: onnx.TensorProto) -> int:
    return numpy_helper.to_array(tensor).size
