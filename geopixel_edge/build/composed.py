"""The portable form in operators of before opset 22, for TensorRT 10.3 (JetPack 6).

Its parser knows no `Attention`, `TensorScatter`, `RotaryEmbedding` or `RMSNormalization`. Inputs, outputs and numbers
are the portable form's; the cache is copied as it is written, so that past and present must not share memory.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..engine.manifest import Precision
from .decoder import DecoderSizes, Weights
from .portable import PortableGraph

_MASKED = -65504.0  # the least of float16: its softmax is 0


class ComposedGraph(PortableGraph):
    """The decoder in operators of opset 20; of 21 where there is int4, which came with that."""

    def __init__(self, path: Path, sizes: DecoderSizes, precision: Precision, weights: Weights) -> None:
        self.opset = 21 if "int4" in (precision.weights, *precision.parts.values()) else 20
        super().__init__(path, sizes, precision, weights)

    def form_inputs(self) -> None:
        """Also the shapes, rotary rows and cache slots that all layers share."""
        super().form_inputs()
        graph, sizes = self.graph, self.sizes
        for name, value in (("axis_1", [1]), ("axes_123", [1, 2, 3]), ("axes_013", [0, 1, 3]), ("axis_last", [-1])):
            graph.constant(name, np.array(value, np.int64))
        graph.constant("kv_count", np.array([sizes.kv_heads], np.int64))
        graph.constant("head_count", np.array([sizes.heads], np.int64))
        graph.constant("head_size", np.array([sizes.head_dim], np.int64))
        graph.constant("halves", np.array([sizes.head_dim // 2] * 2, np.int64))
        graph.constant("rest", np.array([-1], np.int64))
        graph.constant("grouped", np.array([0, sizes.kv_heads, -1, sizes.head_dim], np.int64))
        graph.constant("two", np.array(2.0, np.float32))
        graph.constant("epsilon", np.array(sizes.epsilon, np.float32))
        graph.constant("masked", np.array(_MASKED, np.float32))
        graph.constant("scale", np.array(1 / math.sqrt(sizes.head_dim), self.cache_dtype))
        for table in ("cos", "sin"):
            graph.op("Unsqueeze", graph.op("Gather", table, "position_ids", axis=0), "axis_1", name=f"{table}_rows")
        batch, rows = (graph.op("Shape", "inputs_embeds", start=side, end=side + 1) for side in (0, 1))
        capacity = graph.op("Shape", "past_key_0", start=2, end=3)
        graph.op("Concat", batch, "head_count", rows, capacity, name="scores_shape", axis=0)
        graph.op("Concat", batch, "head_count", rows, "head_size", name="query_shape", axis=0)
        graph.op("Concat", batch, "kv_count", "rest", capacity, name="grouped_scores", axis=0)
        slots = graph.op("Range", "zero", graph.op("Squeeze", rows), "one")
        first = graph.op("Unsqueeze", "write_index", "axes_123")
        graph.op("Add", first, graph.op("Unsqueeze", slots, "axes_013"), name="slots")

    def add_and_norm(self, rows: str, delta: str, name: str) -> tuple[str, str]:
        """The mean of squares in float32, whatever the rows are, as RMSNormalization has it."""
        graph = self.graph
        rows = graph.op("Add", rows, delta) if delta else rows
        wide = self.cast(rows, self.dtype, "float32")
        mean = graph.op("ReduceMean", graph.op("Pow", wide, "two"), "axis_last", keepdims=1)
        normed = graph.op("Div", wide, graph.op("Sqrt", graph.op("Add", mean, "epsilon")))
        return graph.op("Mul", self.cast(normed, "float32", self.dtype), self.weight(name)), rows

    def rotated(self, states: str) -> str:
        """(B, heads, rows, head size), its first half turned against its second by each row's angle."""
        graph = self.graph
        first, second = graph.ops("Split", states, "halves", names=[graph.fresh("half") for _ in range(2)], axis=-1)
        turned = (
            graph.op("Sub", graph.op("Mul", first, "cos_rows"), graph.op("Mul", second, "sin_rows")),
            graph.op("Add", graph.op("Mul", second, "cos_rows"), graph.op("Mul", first, "sin_rows")),
        )
        return graph.op("Concat", *turned, axis=-1)

    def cached(self, slot: str, new: str) -> str:
        """The cache's buffer with the new rows in their slots."""
        graph = self.graph
        places = graph.op("Expand", "slots", graph.op("Shape", new))
        return graph.op("ScatterElements", f"past_{slot}", places, new, name=f"present_{slot}", axis=2)

    def mixed(self, query: str, key: str, value: str) -> str:
        """softmax(query key^T) value under the mask; query heads that share a KV head stand side by side."""
        graph = self.graph
        query = graph.op("Reshape", graph.op("Mul", query, "scale"), "grouped")
        scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self.cast(graph.op("Reshape", scores, "scores_shape"), self.cache_dtype, "float32")
        scores = graph.op("Softmax", graph.op("Where", "attention_mask", scores, "masked"), axis=-1)
        weights = graph.op("Reshape", self.cast(scores, "float32", self.cache_dtype), "grouped_scores")
        return graph.op("Reshape", graph.op("MatMul", weights, value), "query_shape")
