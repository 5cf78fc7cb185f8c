"""Small faults to plant in an exported block: one weight negated, two channels swapped, one channel's scale wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

KINDS = ("one weight negated", "two channels swapped", "one channel times 1.1")
# (operator, input) -> axis along which the output channels of that input's weight lie
_AXES = {("MatMul", 1): 1, ("Conv", 1): 0, ("ConvTranspose", 1): 1, ("Transpose", 0): 0}


def weights(model: onnx.ModelProto) -> dict[str, tuple[int, str | None]]:
    """Initializers that products and convolutions read: name -> (channel axis, the name of an int8 weight's scale)."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    found: dict[str, tuple[int, str | None]] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            axis = _AXES.get((node.op_type, place))
            if node.op_type == "Gemm" and place == 1:
                axis = 0 if any(one.name == "transB" and one.i for one in node.attribute) else 1
            scale = makers[name].input[1] if name in makers else None
            weight = makers[name].input[0] if name in makers else name
            if axis is not None and weight in stored and len(stored[weight].dims) > 1:
                found[weight] = (axis, scale)
    return found


def plant(root: Path, block: str, kind: str, rng: np.random.Generator) -> str:
    """Plant a fault in some weight of a block of an engine that is a copy, and return the weight's name."""
    path = root / f"{block}.onnx"
    model = onnx.load(str(path))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    candidates = weights(model)
    name = sorted(candidates)[int(rng.integers(len(candidates)))]
    axis, scale = candidates[name]
    values = {one: numpy_helper.to_array(stored[one]).copy() for one in (name, scale) if one is not None}
    channels = rng.choice(values[name].shape[axis], 2, replace=False)
    if kind == KINDS[0]:
        sizes = np.abs(values[name].astype(np.float64)).ravel()
        values[name].ravel()[rng.choice(np.flatnonzero(sizes >= np.quantile(sizes, 0.75)))] *= -1
    elif kind == KINDS[1]:
        for one, along in ((name, axis), (scale, 0)):
            if one is not None:
                moved = np.moveaxis(values[one], along, 0)
                moved[channels] = moved[channels[::-1]]
    else:
        part = values[name] if scale is None else values[scale]
        moved = np.moveaxis(part, axis if scale is None else 0, 0)
        moved[channels[0]] = (moved[channels[0]].astype(np.float32) * 1.1).astype(part.dtype)
    for one, value in values.items():
        stored[one].CopyFrom(numpy_helper.from_array(value, one))
    _save(model, root, block)
    return name


def _save(model: onnx.ModelProto, root: Path, block: str) -> None:
    """Write the block anew; onnx would append to the data that is there."""
    graph, data = root / f"{block}.onnx", root / f"{block}.onnx.data"
    for path in (graph, data):
        path.unlink()
    onnx.save_model(model, str(graph), save_as_external_data=True, location=data.name, size_threshold=1024)
