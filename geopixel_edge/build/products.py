"""The matrix products and the attention of a traced block in either form; everything else of its graph passes through.

Portable: `DequantizeLinear` and `MatMul`, int8 with a scale for each output channel. Ready: `MatMulNBits`, whose
weights stay as small in memory as on disk.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from ..engine.manifest import Form, Precision
from . import attention
from .matrices import Quantised, in_blocks, pack_ready, per_channel, unpack_ready
from .onnx_writer import GraphWriter
from .ready import EXACT, ROUNDED
from .traced import TracedGraph, TracedNode

_PRODUCT, _MATMUL, _DEQUANTIZE = "MatMulNBits", "MatMul", "DequantizeLinear"


def has_form(precision: Precision) -> bool:
    """Whether a traced block of a precision differs between the forms."""
    return precision.weights == "int8" and not precision.widened


def write_products(source: Path, target: Path, form: Form, precision: Precision) -> None:
    """Write the block in `source` to `target` (another path) with its int8 products in `form`, the same numbers.

    One weight is in memory at a time. EngineMismatchError for a file of another kind.
    """
    graph = TracedGraph(source)
    is_ready = form == "ready"
    attentions = attention.spelled_out(graph) if is_ready else attention.fused(graph)
    with GraphWriter(target, graph.opset, (_PRODUCT, attention.KIND) if is_ready else ()) as writer:
        rewritten = _Ready(graph, writer, precision) if is_ready else _Portable(graph, writer)
        read = set[str]()
        for node in attention.live(graph, attentions):
            if one := attentions.get(node.outputs[0]):
                one.write_ready(writer) if is_ready else one.write_portable(writer)
            else:
                rewritten.add(node)
                read.update(node.inputs)
        for name in sorted(graph.names & read - rewritten.replaced):
            graph.copy(name, writer)
        writer.take_ends(graph.ends)
        writer.save(graph.name)


class _Ready:
    """Each DequantizeLinear that one MatMul alone reads becomes, with it, one product."""

    def __init__(self, graph: TracedGraph, writer: GraphWriter, precision: Precision) -> None:
        self._graph, self._writer = graph, writer
        self._level = ROUNDED if precision.compute == "int8" else EXACT
        reads = Counter(name for node in graph.nodes for name in node.inputs)
        weights = {node.inputs[1] for node in graph.nodes if node.kind == _MATMUL and reads[node.inputs[1]] == 1}
        self._widened = {
            node.outputs[0]: node
            for node in graph.nodes
            if node.kind == _DEQUANTIZE
            and node.outputs[0] in weights
            and all(name in graph.names and reads[name] == 1 for name in node.inputs)
            and graph.shape(node.inputs[0])[1:] == graph.shape(node.inputs[1])
        }
        self.replaced = {name for node in self._widened.values() for name in node.inputs}

    def add(self, node: TracedNode) -> None:
        """Write a node, or what takes its place."""
        if node.outputs[0] in self._widened:
            return
        made = self._widened.get(node.inputs[1]) if node.kind == _MATMUL else None
        if made is None:
            self._writer.take(node.data)
            return
        numbers, scales = (self._graph.value(name) for name in made.inputs)
        matrix = in_blocks(Quantised(np.ascontiguousarray(numbers.T), scales[:, None], 8, 0))
        outputs, inputs = matrix.numbers.shape
        name = made.outputs[0]
        self._writer.op(
            _PRODUCT,
            node.inputs[0],
            self._writer.weight(f"{name}.bits8", pack_ready(matrix)),
            self._writer.weight(f"{name}.scales", matrix.scales.reshape(-1)),
            name=node.outputs[0],
            K=inputs,
            N=outputs,
            bits=8,
            block_size=matrix.block,
            accuracy_level=self._level,
        )


class _Portable:
    """Each product becomes a DequantizeLinear and a MatMul."""

    def __init__(self, graph: TracedGraph, writer: GraphWriter) -> None:
        self._graph, self._writer = graph, writer
        self.replaced = {name for node in graph.nodes if node.kind == _PRODUCT for name in node.inputs[1:]}

    def add(self, node: TracedNode) -> None:
        """Write a node, or what takes its place."""
        if node.kind != _PRODUCT:
            self._writer.take(node.data)
            return
        rows, stored, scales = node.inputs
        name = stored.removesuffix(".bits8")
        matrix = per_channel(
            unpack_ready(self._graph.value(stored), self._graph.value(scales), 8, int(node.attribute("K")))
        )
        numbers = self._writer.weight(f"{name}.int8", np.ascontiguousarray(matrix.numbers.T))
        scale = self._writer.weight(f"{name}.scale", matrix.scales[:, 0])
        weight = self._writer.op(_DEQUANTIZE, numbers, scale, name=name, axis=1)
        self._writer.op(_MATMUL, rows, weight, name=node.outputs[0])
