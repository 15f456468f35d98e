"""ONNX `GRU` nodes written out as cells: matrix products, gates, sums.

TensorRT runs a `GRU` node as a loop that no fusion speeds up (spec/tensorrt.md,
traps). A cell here is one product for the hidden gates of both directions;
the input gates of all frames are one product for the layer. PyTorch's exporters
write such a graph node by node for minutes; rewriting theirs takes a second.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from streamer.errors import ArtifactError

Array = npt.NDArray[Any]
TOLERANCE = 1e-5
"""Between a layer as a node and as cells; measured 1e-7."""


def write_cells(full: Path, written: Path, frames: int) -> int:
    """Write a graph with its `GRU` nodes written out, each checked; returns how many.

    Each layer runs alone, as it was and as it is, on the same numbers: the
    whole graph loads in minutes. Raises `ArtifactError` where a layer differs.
    """
    tools = cast(Any, onnx)  # partly untyped
    model = cast(onnx.ModelProto, tools.load(full))
    constants = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "GRU":
            worst = _difference(node, constants, frames)
            if not worst <= TOLERANCE:
                raise ArtifactError(f"{node.name}: its cells differ by {worst:.2g}")
    count = write_out_grus(model, frames)
    tools.checker.check_model(model)
    tools.save_model(model, written)
    return count


def _difference(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], frames: int) -> float:
    """Return the largest difference between a layer's node and its cells, for two slots."""
    layer = _Layer(node, constants, frames)
    weights = [constants[name] for name in node.input[1:4]]
    directions, _, width = weights[0].dims
    x, first = node.input[0], node.input[5]
    random = np.random.default_rng(1)
    feed = {
        x: random.standard_normal((frames, 2, width)).astype(np.float32),
        first: random.standard_normal((directions, 2, layer.hidden)).astype(np.float32),
    }
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in feed.items()]
    outputs = [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)]
    opset = [helper.make_opsetid("", 18)]
    got = list[Array]()
    for nodes, held in (([node], weights), (layer.nodes, layer.constants)):
        graph = helper.make_graph(nodes, "layer", inputs, outputs, held)
        single = helper.make_model(graph, opset_imports=opset, ir_version=9)
        runtime = cast(Any, ort)
        session = runtime.InferenceSession(
            single.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        got.append(session.run([node.output[0]], feed)[0])
    return float(np.abs(got[0] - got[1]).max())


def write_out_grus(model: onnx.ModelProto, frames: int) -> int:
    """Replace every `GRU` node by its cells; returns how many there were.

    frames: the length of the sequences, which the graph must hold. Layers have
    one or two directions, biases, a known initial state and `linear_before_reset`
    as PyTorch has. Raises `ArtifactError` for any other.
    """
    constants = {t.name: t for t in model.graph.initializer}
    nodes = list[onnx.NodeProto]()
    written = 0
    for node in model.graph.node:
        if node.op_type == "GRU":
            layer = _Layer(node, constants, frames)
            nodes += layer.nodes
            model.graph.initializer.extend(layer.constants)
            written += 1
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    return written


class _Layer:
    """The nodes and constants of one layer; D directions are a batch of products."""

    def __init__(
        self, node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], frames: int
    ) -> None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        known = {"hidden_size", "direction", "linear_before_reset"}
        if attributes.get("linear_before_reset") != 1 or set(attributes) - known:
            raise ArtifactError(f"{node.name}: not a GRU as PyTorch computes it")
        self.nodes = list[onnx.NodeProto]()
        self.constants = list[onnx.TensorProto]()
        self._name = node.name or node.output[0]
        self._count = 0
        self._frames = frames
        self.hidden = int(attributes["hidden_size"])
        names = [*node.input, "", ""]
        x, w, r, b, lengths, first = names[:6]
        if lengths or not first or any(n not in constants for n in (w, r, b)):
            raise ArtifactError(f"{self._name}: a GRU with constant weights was expected")
        weights = [numpy_helper.to_array(constants[n]) for n in (w, r, b)]
        self._write(x, first, *weights, outputs=node.output)

    def _write(
        self, x: str, first: str, w: Array, r: Array, b: Array, *, outputs: Sequence[str]
    ) -> None:
        """Write Y [T, D, S, H] and the last state [D, S, H].

        x: [T, S, I]; first: [D, S, H]; weights in ONNX's order z, r, h.
        """
        size, both = self.hidden, len(w) == 2
        bias = b[:, : 3 * size].copy()
        bias[:, : 2 * size] += b[:, 3 * size : 5 * size]
        heard = self._op("Unsqueeze", [x, self._ints([1])])
        if both:
            heard = self._op("Concat", [heard, self._backwards(heard)], axis=1)
        gates = self._op("MatMul", [heard, self._float(np.swapaxes(w, 1, 2)[None])])
        gates = self._op("Add", [gates, self._float(bias[None, :, None])])
        shut, new = self._split(gates, [2 * size, size], axis=3)
        shuts = self._split(shut, [1] * self._frames, axis=0)
        news = self._split(new, [1] * self._frames, axis=0)
        recurrent = self._float(np.swapaxes(r, 1, 2)[None])
        inside = self._float(b[None, :, None, 5 * size :])
        h = self._op("Unsqueeze", [first, self._ints([0])])
        states = list[str]()
        for shut_x, new_x in zip(shuts, news, strict=True):
            shut_h, new_h = self._split(
                self._op("MatMul", [h, recurrent]), [2 * size, size], axis=3
            )
            gate = self._op("Sigmoid", [self._op("Add", [shut_x, shut_h])])
            update, reset = self._split(gate, [size, size], axis=3)
            held = self._op("Mul", [reset, self._op("Add", [new_h, inside])])
            candidate = self._op("Tanh", [self._op("Add", [new_x, held])])
            kept = self._op("Mul", [update, self._op("Sub", [h, candidate])])
            h = self._op("Add", [candidate, kept])
            states.append(h)
        if len(outputs) > 1 and outputs[1]:
            self._op("Squeeze", [h, self._ints([0])], out=outputs[1])
        if both:
            ahead, back = self._split(self._op("Concat", states, axis=0), [1, 1], axis=1)
            self._op("Concat", [ahead, self._backwards(back)], axis=1, out=outputs[0])
        else:
            self._op("Concat", states, axis=0, out=outputs[0])

    def _backwards(self, x: str) -> str:
        """Return x with its time, the first axis, reversed."""
        order = self._ints(list(range(self._frames - 1, -1, -1)))
        return self._op("Gather", [x, order], axis=0)

    def _split(self, x: str, sizes: Sequence[int], *, axis: int) -> list[str]:
        names = [self._new() for _ in sizes]
        self.nodes.append(helper.make_node("Split", [x, self._ints(sizes)], names, axis=axis))
        return names

    def _op(self, kind: str, inputs: Sequence[str], *, out: str = "", **attributes: Any) -> str:
        name = out or self._new()
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _float(self, values: Array) -> str:
        return self._constant(np.ascontiguousarray(values, np.float32))

    def _ints(self, values: Sequence[int]) -> str:
        return self._constant(np.array(values, np.int64))

    def _constant(self, values: Array) -> str:
        name = self._new()
        self.constants.append(cast(Any, numpy_helper).from_array(values, name))
        return name

    def _new(self) -> str:
        self._count += 1
        return f"{self._name}.{self._count}"
