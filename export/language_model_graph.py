"""Large Language Model as ONNX: one graph, opset 24, for prefill and decode, for ONNX Runtime and TensorRT alike.

The KV cache is written in place (`TensorScatter`), an explicit boolean mask says what may be attended to (TensorRT
ignores lengths and aligns `is_causal` differently), partial LoRA gathers the image rows and scatters them back, so
that it costs nothing when there are none. No `If`, no contrib operator, no `ScatterND` reduction.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from geopixel_edge.engine.manifest import Precision

from .checkpoint import Checkpoint
from .graph import GraphWriter
from .int8 import quantise
from .onnx_file import at_dtype
from .torch_model.language_model import rotary_tables

OPSET = 24


class LanguageModelGraph:
    """Writes the decoder, one layer's weights in memory at a time.

    Rows of all sequences lie one below the other; `image_rows` (n,) and `output_rows` (m,) int64 count them through.
    Inputs: `inputs_embeds` (B, S, hidden) float32, `position_ids` (B, S) int64, `write_index` (B,) int64 (first cache
    slot written), `attention_mask` (B, 1, S, capacity) bool, `image_rows` (those that hold image tokens),
    `output_rows` (those whose outputs are wanted; none costs no LM head), `past_key_i` / `past_value_i`
    (B, kv_heads, capacity, head_dim), zero-initialised.
    Outputs: `logits` (m, vocabulary) and `hidden` (m, hidden) after the final norm, float32, and `present_key_i` /
    `present_value_i`, to be bound to the buffers of the past ones.
    """

    def __init__(self, checkpoint: Checkpoint, path: Path, precision: Precision) -> None:
        self.checkpoint, self.config = checkpoint, checkpoint.config
        self.keys = checkpoint.claims["language_model"]
        self.precision = precision
        self.dtype = "float16" if precision.compute == "float16" else "float32"
        self.graph = GraphWriter(path, OPSET)

    def write(self, progress: tqdm[Any]) -> None:
        """Write the files; the bar moves on after each layer."""
        c = self.config
        with self.graph as graph:
            rows = self._inputs()
            for index in range(c.layers):
                rows = self._layer(index, rows)
                progress.update()
            asked = self._norm(graph.op("Gather", rows, "output_rows", axis=0), "norm.weight")
            graph.op("Identity", self._to_border(asked), name="hidden")
            logits = graph.op("MatMul", asked, self._matrix("output.weight"))
            graph.op("Identity", self._to_border(logits), name="logits")
            graph.output("logits", "float32", ("output_rows", c.vocabulary))
            graph.output("hidden", "float32", ("output_rows", c.hidden))
            for index in range(c.layers):
                for kind in ("key", "value"):
                    graph.output(f"present_{kind}_{index}", self.dtype, self._cache_shape())
            graph.save("language_model")

    def _cache_shape(self) -> tuple[int | str, ...]:
        return ("B", self.config.kv_heads, "capacity", self.config.head_dim)

    def _inputs(self) -> str:
        graph, c = self.graph, self.config
        graph.input("inputs_embeds", "float32", ("B", "S", c.hidden))
        graph.input("position_ids", "int64", ("B", "S"))
        graph.input("write_index", "int64", ("B",))
        graph.input("attention_mask", "bool", ("B", 1, "S", "capacity"))
        graph.input("image_rows", "int64", ("image_rows",))
        graph.input("output_rows", "int64", ("output_rows",))
        for index in range(c.layers):
            for kind in ("key", "value"):
                graph.input(f"past_{kind}_{index}", self.dtype, self._cache_shape())
        graph.constant("axis_1", np.array([1], np.int64))
        query, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        graph.constant("qkv_widths", np.array([query, kv, kv], np.int64))
        batch_and_rows = graph.op("Shape", "position_ids")
        for name, heads in (("query_heads", c.heads), ("kv_heads", c.kv_heads)):
            sizes = graph.constant(f"{name}.sizes", np.array([heads, c.head_dim], np.int64))
            graph.op("Concat", batch_and_rows, sizes, name=name, axis=0)
        graph.constant("merge_heads", np.array([-1, query], np.int64))
        graph.constant("flat_rows", np.array([-1, c.hidden], np.int64))
        cos, sin = rotary_tables(c.head_dim, torch.arange(c.max_positions), c.rope_theta)
        self._weight("cos", cos)
        self._weight("sin", sin)
        graph.op("Unsqueeze", "image_rows", "axis_1", name="image_index")
        rows = graph.op("Reshape", "inputs_embeds", "flat_rows")
        return graph.op("Cast", rows, to=10) if self.dtype == "float16" else rows

    def _to_border(self, name: str) -> str:
        """Block borders are float32 whatever the precision inside."""
        return self.graph.op("Cast", name, to=1) if self.dtype == "float16" else name

    def _weight(self, name: str, value: Tensor) -> str:
        return self.graph.weight(name, at_dtype(value, self.dtype, name))

    def _tensor(self, name: str) -> Tensor:
        return self.checkpoint.tensor(self.keys[name])

    def _matrix(self, name: str) -> str:
        """A linear layer's weight, transposed to (inputs, outputs) for MatMul."""
        return self._dense(name, self._tensor(name))

    def _dense(self, name: str, value: Tensor) -> str:
        """A weight (outputs, inputs) as MatMul takes it, at the precision weights are stored at."""
        if self.precision.weights != "int8":
            return self._weight(name, value.T)
        numbers, scale = quantise(at_dtype(value.T, "float32", name), axis=1)
        stored = self.graph.weight(f"{name}.int8", numbers), self.graph.weight(f"{name}.scale", scale)
        return self.graph.op("DequantizeLinear", *stored, name=name, axis=1)

    def _norm(self, rows: str, name: str) -> str:
        weight = self._weight(name, self._tensor(name))
        return self.graph.op("RMSNormalization", rows, weight, axis=-1, epsilon=self.config.rms_norm_eps)

    def _image_rows(self, rows: str) -> str:
        return self.graph.op("Gather", rows, "image_rows", axis=0)

    def _linear(self, rows: str, image_rows: str, name: str, order: Tensor | None = None) -> str:
        """rows @ W, plus the low-rank update on the image rows. `order` permutes the outputs."""
        graph = self.graph
        weights = [self._tensor(f"{name}.{part}weight") for part in ("", "Plora_A.", "Plora_B.")]
        if order is not None:
            weights[0], weights[2] = weights[0][order], weights[2][order]
        base, down, up = (
            self._dense(f"{name}.{part}weight", value)
            for part, value in zip(("", "Plora_A.", "Plora_B."), weights, strict=True)
        )
        full = graph.op("MatMul", rows, base)
        update = graph.op("MatMul", graph.op("MatMul", image_rows, down), up)
        # ONNX Runtime makes a Gemm of MatMul and Add, which is faster but takes no int8 weights as they are.
        kind = "Sum" if self.precision.compute == "int8" else "Add"
        updated = graph.op(kind, self._image_rows(full), update)
        return graph.op("ScatterND", full, "image_index", updated)

    def _heads(self, rows: str, shape: str) -> str:
        return self.graph.op("Transpose", self.graph.op("Reshape", rows, shape), perm=[0, 2, 1, 3])

    def _attention(self, index: int, rows: str) -> str:
        graph, c = self.graph, self.config
        name = f"layers.{index}.attention"
        packed = self._linear(
            rows, self._image_rows(rows), f"{name}.wqkv", unpacked_order(c.heads, c.kv_heads, c.head_dim)
        )
        query, key, value = graph.ops("Split", packed, "qkv_widths", names=[f"{k}_{index}" for k in "qkv"], axis=-1)
        query, key = (
            graph.op("RotaryEmbedding", self._heads(states, shape), "cos", "sin", "position_ids")
            for states, shape in ((query, "query_heads"), (key, "kv_heads"))
        )
        key, value = (
            graph.op(
                "TensorScatter", f"past_{kind}_{index}", new, "write_index", name=f"present_{kind}_{index}", axis=2
            )
            for kind, new in (("key", key), ("value", self._heads(value, "kv_heads")))
        )
        mixed = graph.op("Attention", query, key, value, "attention_mask", scale=1 / math.sqrt(c.head_dim))
        merged = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), "merge_heads")
        return self._linear(merged, self._image_rows(merged), f"{name}.wo")

    def _feed_forward(self, index: int, rows: str) -> str:
        graph, name = self.graph, f"layers.{index}.feed_forward"
        image_rows = self._image_rows(rows)
        gate = self._linear(rows, image_rows, f"{name}.w1")
        silu = graph.op("Mul", gate, graph.op("Sigmoid", gate))
        gated = graph.op("Mul", silu, self._linear(rows, image_rows, f"{name}.w3"))
        return self._linear(gated, self._image_rows(gated), f"{name}.w2")

    def _layer(self, index: int, rows: str) -> str:
        normed = self._norm(rows, f"layers.{index}.attention_norm.weight")
        rows = self.graph.op("Add", rows, self._attention(index, normed))
        normed = self._norm(rows, f"layers.{index}.ffn_norm.weight")
        return self.graph.op("Add", rows, self._feed_forward(index, normed))


def unpacked_order(heads: int, kv_heads: int, head_dim: int) -> Tensor:
    """Row order from [q x groups, k, v] per KV head to all q, then all k, then all v (reference behaviour 13)."""
    groups = heads // kv_heads
    packed = torch.arange((heads + 2 * kv_heads) * head_dim).reshape(kv_heads, groups + 2, head_dim)
    return torch.cat([packed[:, :groups].reshape(-1), packed[:, groups].reshape(-1), packed[:, groups + 1].reshape(-1)])
