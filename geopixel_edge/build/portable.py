"""The portable form: opset 24, standard operators alone, what TensorRT builds from.

The KV cache is written in place (`TensorScatter`), an explicit boolean mask says what may be attended to (TensorRT
ignores lengths and aligns `is_causal` differently). No `If`, no contributed operator, no scattered rows.
"""

from __future__ import annotations

import math

import numpy as np

from .decoder import DecoderGraph
from .matrices import Quantised, pack_portable


class PortableGraph(DecoderGraph):
    """Inputs beside the shared ones: `position_ids` (B, S) int64, `write_index` (B,) int64 (first cache slot written),
    `attention_mask` (B, 1, S, capacity) bool.
    """

    opset = 24

    def form_inputs(self) -> None:
        """Positions, slots and mask, and the shapes that q, k and v are cut into."""
        graph, sizes = self.graph, self.sizes
        self._zero_rows: set[str] = set()
        graph.input("position_ids", "int64", ("B", "S"))
        graph.input("write_index", "int64", ("B",))
        graph.input("attention_mask", "bool", ("B", 1, "S", "capacity"))
        query, kv = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
        graph.constant("qkv_widths", np.array([query, kv, kv], np.int64))
        for name, heads in (("query_heads", sizes.heads), ("kv_heads", sizes.kv_heads)):
            cut = graph.constant(f"{name}.sizes", np.array([heads, sizes.head_dim], np.int64))
            graph.op("Concat", "batch_and_rows", cut, name=name, axis=0)
        self._place_updates()
        self.weight("cos", self.cache_dtype)
        self.weight("sin", self.cache_dtype)

    def add_and_norm(self, rows: str, delta: str, name: str) -> tuple[str, str]:
        """An Add and an RMSNormalization."""
        rows = self.graph.op("Add", rows, delta) if delta else rows
        epsilon = self.sizes.epsilon
        return self.graph.op("RMSNormalization", rows, self.weight(name), axis=-1, epsilon=epsilon), rows

    def _heads(self, rows: str, shape: str) -> str:
        return self.graph.op("Transpose", self.graph.op("Reshape", rows, shape), perm=[0, 2, 1, 3])

    def attend(self, index: int, packed: str) -> str:
        """Rotated, scattered into the cache, attended to under the mask; all at the cache's dtype."""
        graph = self.graph
        packed = self.cast(packed, self.dtype, self.cache_dtype)
        query, key, value = graph.ops("Split", packed, "qkv_widths", names=[f"{k}_{index}" for k in "qkv"], axis=-1)
        query, key = (
            self.rotated(self._heads(states, shape)) for states, shape in ((query, "query_heads"), (key, "kv_heads"))
        )
        key, value = (
            self.cached(f"{kind}_{index}", new)
            for kind, new in (("key", key), ("value", self._heads(value, "kv_heads")))
        )
        mixed = self.mixed(query, key, value)
        merged = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), "merge_heads")
        return self.cast(merged, self.cache_dtype, self.dtype)

    def rotated(self, states: str) -> str:
        """(B, heads, rows, head size) at their positions' angles."""
        return self.graph.op("RotaryEmbedding", states, "cos", "sin", "position_ids")

    def cached(self, slot: str, new: str) -> str:
        """The buffer `past_<slot>` with the new rows written in place, which is `present_<slot>`."""
        return self.graph.op("TensorScatter", f"past_{slot}", new, "write_index", name=f"present_{slot}", axis=2)

    def mixed(self, query: str, key: str, value: str) -> str:
        """Attention of the query's heads under the mask, (B, heads, rows, head size)."""
        scale = 1 / math.sqrt(self.sizes.head_dim)
        return self.graph.op("Attention", query, key, value, "attention_mask", scale=scale)

    def updated(self, full: str, update: str, width: int, add: str) -> str:
        """Every row gathers its update, text rows one of zeros: a GPU gathers rows faster than it scatters them."""
        padded = self.graph.op("Concat", update, self._zero_row(width), axis=0)
        return self.graph.op(add, full, self.graph.op("Gather", padded, "update_rows", axis=0))

    def _zero_row(self, width: int) -> str:
        name = f"zeros_{width}"
        if name not in self._zero_rows:
            self._zero_rows.add(self.graph.constant(name, np.zeros((1, width), self.dtype)))
        return name

    def _place_updates(self) -> None:
        """`update_rows` (rows,): each row's place among the image rows, or their number for a text row."""
        graph = self.graph
        for name, value in (("zero", 0), ("one", 1)):
            graph.constant(name, np.array(value, np.int64))
        count = graph.op("Shape", "image_rows")
        rows = graph.op("ReduceProd", "batch_and_rows", keepdims=1)
        places = graph.op("Range", "zero", graph.op("Squeeze", count), "one")
        graph.op("ScatterElements", graph.op("Expand", count, rows), "image_rows", places, name="update_rows", axis=0)

    def quantised(self, rows: str, name: str, matrix: Quantised) -> str:
        """DequantizeLinear and MatMul, which ONNX Runtime makes one product of when it loads the file."""
        if matrix.bits == 8:
            return self.graph.op("MatMul", rows, self.dequantised(name, matrix))
        shape = matrix.numbers.shape[::-1]
        numbers = self.graph.weight(f"{name}.int4", pack_portable(matrix), "int4", shape)
        scale = self.graph.weight(f"{name}.scale", matrix.scales.T.astype(self.dtype))
        weight = self.graph.op("DequantizeLinear", numbers, scale, name=name, axis=0, block_size=matrix.block)
        return self.graph.op("MatMul", rows, weight)
