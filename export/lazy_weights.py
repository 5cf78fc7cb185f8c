"""Weights of a traced graph that are read when they are written to the file, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from torch._subclasses.fake_tensor import FakeTensor

Value = Callable[[str], np.ndarray]


def attach(graph: ir.Graph, value: Value) -> None:
    """Give every initializer that was traced without numbers its own, by its name, whenever somebody asks."""
    for name, one in graph.initializers.items():
        empty = one.const_value
        if empty is not None and isinstance(getattr(empty, "raw", None), FakeTensor):
            one.const_value = _lazy(partial(value, name), empty.dtype, tuple(empty.shape.numpy()), name)


def fold_transposes(graph: ir.Graph) -> None:
    """Store weights as their only reader takes them, rather than transpose them in the graph.

    A linear layer's weight (outputs, inputs) is stored (inputs, outputs), as MatMul reads it: no runtime needs room for
    both when it loads the file.
    """
    for node in list(graph):
        source = node.inputs[0] if node.op_type == "Transpose" else None
        if source is None or source.const_value is None or len(list(source.uses())) != 1:
            continue
        stored, order = source.const_value, tuple(node.attributes["perm"].as_ints())
        sides = stored.shape.numpy()
        shape = tuple(sides[axis] for axis in order)
        source.const_value = _lazy(partial(_transposed, stored, order), stored.dtype, shape, source.name)
        source.shape = source.const_value.shape
        ir.convenience.replace_all_uses_with(node.outputs[0], source)
        graph.remove(node, safe=True)


def _transposed(stored: ir.TensorProtocol, order: tuple[int, ...]) -> np.ndarray:
    return np.transpose(stored.numpy(), order)


def _lazy(read: Callable[[], np.ndarray], dtype: ir.DataType, shape: tuple[int, ...], name: Any) -> ir.LazyTensor:
    def made() -> ir.Tensor:
        return ir.Tensor(np.ascontiguousarray(read()), dtype=dtype, name=name)

    return ir.LazyTensor(made, dtype=dtype, shape=ir.Shape(shape), name=name)
