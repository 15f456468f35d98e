"""The step graph with its matrix products in fp16 and everything else in fp32.

TensorRT 11 takes precision from the graph alone (spec/tensorrt.md), so this is
where it is chosen. The recurrent state, softmax, norms, gates and sums stay in
fp32, and so do the mel front end, whose power spans ten decades, and the heads
that emit poses. Each remaining product gets its weights in fp16 and a cast on
either side, which TensorRT fuses.
"""

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PRODUCTS = frozenset({"MatMul", "Gemm", "Conv"})
KEPT = re.compile(
    r"network\.(front|rhythm|speaker|coordinator|style_mean)\."
    r"|network\.(levels\.\d+\.out|head)\.2\."
)
"""Weights that stay in fp32: front end, what decides, mixing of taps (a softmax), and heads."""
_LARGEST = float(np.finfo(np.float16).max)


def halve(full: Path, half: Path) -> int:
    """Write the fp16 form of a step graph; returns how many products it holds.

    Raises `RuntimeError` where a weight does not fit fp16 or nothing was halved.
    """
    tools = cast(Any, onnx)  # partly untyped
    model = cast(onnx.ModelProto, tools.load(full))
    weights = {t.name: t for t in model.graph.initializer}
    nodes, halved = list[onnx.NodeProto](), 0
    made = set[str]()
    for node in model.graph.node:
        constants = [name for name in node.input if name in weights]
        if node.op_type not in PRODUCTS or not constants or any(map(KEPT.match, constants)):
            nodes.append(node)
            continue
        halved += 1
        for i, name in enumerate(node.input):
            small = f"{name}.fp16"
            if small not in made:
                made.add(small)
                if name in weights:
                    model.graph.initializer.append(_small(weights[name], small))
                else:
                    nodes.append(helper.make_node("Cast", [name], [small], to=TensorProto.FLOAT16))
            node.input[i] = small
        out = node.output[0]
        node.output[0] = f"{out}.fp16out"
        nodes.append(node)
        nodes.append(helper.make_node("Cast", [node.output[0]], [out], to=TensorProto.FLOAT))
    if not halved:
        raise RuntimeError(f"{full.name}: no matrix product with weights to halve")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    tools.checker.check_model(model, full_check=True)
    tools.save_model(model, half)
    return halved


def _small(weight: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = numpy_helper.to_array(weight)
    if not np.abs(values).max(initial=0.0) <= _LARGEST:
        raise RuntimeError(f"{weight.name}: {np.abs(values).max():.3g} does not fit fp16")
    return numpy_helper.from_array(values.astype(np.float16), name)
