"""The ready form, for ONNX Runtime: opset 21 and its own operators.

Weights stay quantised in memory as they lie on disk (`MatMulNBits`); attention (`GroupQueryAttention`) rotates, writes
the cache in place and works over the valid positions alone.
"""

from __future__ import annotations

import math

import numpy as np

from ..engine.names import SEQLENS_K, TOTAL_LENGTH
from .decoder import DecoderGraph
from .matrices import Quantised, in_blocks, pack_ready

ROUNDED, EXACT = 4, 1  # accuracy levels: activations rounded to int8 before each product, or not


class ReadyGraph(DecoderGraph):
    """Inputs beside the shared ones: `seqlens_k` (B,) int32, each sequence's positions after this run, less one, and
    `total_sequence_length` (1,) int32, the most positions of any, in host memory. Several sequences take one row each.
    """

    opset = 21
    contributed = ("MatMulNBits", "GroupQueryAttention", "SkipSimplifiedLayerNormalization")

    def form_inputs(self) -> None:
        """Lengths, and the shape of packed q, k, v."""
        graph, sizes = self.graph, self.sizes
        graph.input(SEQLENS_K, "int32", ("B",))
        graph.input(TOTAL_LENGTH, "int32", (1,))
        width = (sizes.heads + 2 * sizes.kv_heads) * sizes.head_dim
        graph.constant("qkv_width", np.array([width], np.int64))
        graph.op("Concat", "batch_and_rows", "qkv_width", name="qkv_rows", axis=0)
        graph.constant("axis_1", np.array([1], np.int64))
        graph.op("Unsqueeze", "image_rows", "axis_1", name="image_index")
        self.weight("cos", self.cache_dtype)
        self.weight("sin", self.cache_dtype)

    def add_and_norm(self, rows: str, delta: str, name: str) -> tuple[str, str]:
        """One operator for both."""
        graph, epsilon = self.graph, self.sizes.epsilon
        weight = self.weight(name)
        if not delta:
            return graph.op("SimplifiedLayerNormalization", rows, weight, axis=-1, epsilon=epsilon), rows
        normed, total = graph.fresh("normed"), graph.fresh("rows")
        outputs = [normed, "", "", total]
        graph.ops("SkipSimplifiedLayerNormalization", rows, delta, weight, names=outputs, epsilon=epsilon)
        return normed, total

    def attend(self, index: int, packed: str) -> str:
        """All in one operator; it computes in the cache's dtype."""
        graph, sizes = self.graph, self.sizes
        packed = self.cast(graph.op("Reshape", packed, "qkv_rows"), self.dtype, self.cache_dtype)
        past, present = ([f"{side}_{kind}_{index}" for kind in ("key", "value")] for side in ("past", "present"))
        mixed = graph.fresh("attention")
        inputs = (packed, "", "", *past, SEQLENS_K, TOTAL_LENGTH, "cos", "sin")
        graph.ops(
            "GroupQueryAttention",
            *inputs,
            names=[mixed, *present],
            num_heads=sizes.heads,
            kv_num_heads=sizes.kv_heads,
            do_rotary=1,
            scale=1 / math.sqrt(sizes.head_dim),
        )
        return self.cast(graph.op("Reshape", mixed, "merge_heads"), self.cache_dtype, self.dtype)

    def updated(self, full: str, update: str, width: int, add: str) -> str:
        """Gathered, added to, scattered back: what a CPU does fastest."""
        return self.graph.op("ScatterND", full, "image_index", self.graph.op(add, self.image_rows(full), update))

    def quantised(self, rows: str, name: str, matrix: Quantised) -> str:
        """MatMulNBits: the file's bytes are what stays in memory."""
        matrix = in_blocks(matrix)
        outputs, inputs = matrix.numbers.shape
        numbers = self.graph.weight(f"{name}.bits{matrix.bits}", pack_ready(matrix))
        scales = self.graph.weight(f"{name}.scales", matrix.scales.reshape(-1).astype(self.dtype))
        return self.graph.op(
            "MatMulNBits",
            rows,
            numbers,
            scales,
            K=inputs,
            N=outputs,
            bits=matrix.bits,
            block_size=matrix.block,
            accuracy_level=ROUNDED if self.precision.compute == "int8" else EXACT,
        )
