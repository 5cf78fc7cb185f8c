"""Weights as int8, one scale for each output channel; arithmetic stays float32.

A quarter of the bytes to store and ship. The runtime widens the weights once, when it loads the engine, so that answers
take as long as at float32. Norms, biases and position tables stay float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

# Below it a tensor is not worth a scale and a node of its own.
MIN_NUMBERS = 2048
_INT8_MAX = 127
# (operator, input) -> axis; the exporter transposes a linear layer's weight before a MatMul.
_AXES = {("MatMul", 1): 1, ("Conv", 1): 0, ("ConvTranspose", 1): 1, ("Transpose", 0): 0}


def quantise(weight: npt.NDArray[np.float32], axis: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Whole numbers in -127..127 and the scale of each channel along `axis`: the nearest to weight / scale."""
    others = tuple(index for index in range(weight.ndim) if index != axis)
    largest = np.abs(weight).max(axis=others)
    scale = (largest / _INT8_MAX).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1.0  # such a channel becomes zero
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    return np.rint(weight / scale.reshape(shape)).astype(np.int8), scale


def quantise_file(path: Path) -> None:
    """Replace, in an exported float32 graph, the weights of matrix products and convolutions by int8."""
    model = onnx.load(str(path))
    graph = model.graph
    axes = _channel_axes(graph)
    nodes = []
    for tensor in [tensor for tensor in graph.initializer if tensor.name in axes]:
        name, axis = tensor.name, axes[tensor.name]
        numbers, scale = quantise(numpy_helper.to_array(tensor), axis)
        graph.initializer.remove(tensor)
        graph.initializer.extend(
            [numpy_helper.from_array(numbers, f"{name}.int8"), numpy_helper.from_array(scale, f"{name}.scale")]
        )
        inputs = [f"{name}.int8", f"{name}.scale"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=f"n_{name}", axis=axis))
    for index, node in enumerate(nodes):
        graph.node.insert(index, node)
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)  # onnx would append to it
    onnx.save_model(model, str(path), save_as_external_data=True, location=data.name, size_threshold=1024)
    data.chmod(path.stat().st_mode)  # onnx makes it for this user alone


def _channel_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """Output channel axis of every weight that only matrix products and convolutions read, all along the same axis."""
    large = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and len(tensor.dims) > 1
        and int(np.prod(tensor.dims)) >= MIN_NUMBERS
    }
    found: dict[str, set[int | None]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in large:
                found.setdefault(name, set()).add(_axis(node, place))
    return {name: axis for name, axes in found.items() if len(axes) == 1 and (axis := next(iter(axes))) is not None}


def _axis(node: onnx.NodeProto, place: int) -> int | None:
    """Along which axis of the weight at input `place` a node's output channels lie; None if it is not quantised."""
    if node.op_type == "Gemm" and place == 1:
        return 0 if any(one.name == "transB" and one.i for one in node.attribute) else 1
    return _AXES.get((node.op_type, place))
