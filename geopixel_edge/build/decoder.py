"""The language model's graph, operator by operator: what its forms share.

One graph serves prefill and decode. Partial LoRA works on the image rows alone, so that it costs nothing when there are
none. Weights come from a checkpoint or from an engine, one matrix in memory at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..arrays import Array
from ..engine.manifest import Precision
from .matrices import Dense, Matrix, Quantised
from .onnx_writer import GraphWriter

_FLOATS = {"float32": 1, "float16": 10}


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes of the decoder that its graph holds."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    epsilon: float  # of its norms


class Weights(Protocol):
    """Where the weights come from, by the names that the graphs have."""

    def plain(self, name: str, dtype: str) -> Array:
        """A norm's weight (hidden,), or the rotary tables `cos` and `sin` (positions, head size / 2)."""
        ...

    def matrix(self, name: str) -> Matrix:
        """A linear layer's weight, as the precision stores it; rows of `wqkv` are all q, then all k, then all v."""
        ...


class DecoderGraph(ABC):
    """Writes one form of the decoder.

    Rows of all sequences lie one below the other; `image_rows` (n,) and `output_rows` (m,) int64 count them through.
    Inputs of both forms: `inputs_embeds` (B, S, hidden) float32, `image_rows` (those that hold image tokens),
    `output_rows` (those whose outputs are wanted; none costs no LM head), `past_key_i` / `past_value_i`
    (B, kv_heads, capacity, head_dim), zero-initialised.
    Outputs: `logits` (m, vocabulary) and `hidden` (m, hidden) after the final norm, float32, and `present_key_i` /
    `present_value_i`, to be bound to the buffers of the past ones.
    """

    opset: int
    contributed: tuple[str, ...] = ()

    def __init__(self, path: Path, sizes: DecoderSizes, precision: Precision, weights: Weights) -> None:
        self.sizes, self.precision, self.weights = sizes, precision, weights
        self.dtype = "float16" if precision.compute == "float16" else "float32"
        self.cache_dtype = precision.parts.get("kv", self.dtype)
        self.graph = GraphWriter(path, self.opset, self.contributed)

    def write(self, advance: Callable[[], object] = lambda: None) -> None:
        """Write the files; `advance` is called after each layer."""
        with self.graph as graph:
            rows, delta = self._begin(), ""
            for index in range(self.sizes.layers):
                rows, delta = self._layer(index, rows, delta)
                advance()
            rows, delta = (graph.op("Gather", one, "output_rows", axis=0) for one in (rows, delta))
            normed, _ = self.add_and_norm(rows, delta, "norm.weight")
            graph.op("Identity", self.cast(normed, self.dtype, "float32"), name="hidden")
            logits = self._product(normed, "output.weight", self.weights.matrix("output.weight"))
            graph.op("Identity", self.cast(logits, self.dtype, "float32"), name="logits")
            graph.output("logits", "float32", ("output_rows", self.sizes.vocabulary))
            graph.output("hidden", "float32", ("output_rows", self.sizes.hidden))
            for slot in self._slots():
                graph.output(f"present_{slot}", self.cache_dtype, self._cache_shape())
            graph.save("language_model")

    # --- What a form decides ------------------------------------------------------------------------------------

    @abstractmethod
    def form_inputs(self) -> None:
        """Declare the inputs that say where in the cache this run is, and constants of the form."""

    @abstractmethod
    def add_and_norm(self, rows: str, delta: str, name: str) -> tuple[str, str]:
        """rows + delta, where there is one, under its RMS norm, and as it is."""

    @abstractmethod
    def attend(self, index: int, packed: str) -> str:
        """Rows of q, k, v (rows, widths) into the cache, and what attention gives, (rows, heads * head size)."""

    @abstractmethod
    def quantised(self, rows: str, name: str, matrix: Quantised) -> str:
        """rows @ a weight that stays quantised in memory."""

    @abstractmethod
    def updated(self, full: str, update: str, width: int, add: str) -> str:
        """`full` (rows, width) with `update` (image rows, width) added where the image rows are.

        `add` is the operator to do so with.
        """

    # --- What both share ----------------------------------------------------------------------------------------

    def cast(self, name: str, source: str, target: str) -> str:
        """The value at another dtype."""
        return name if source == target else self.graph.op("Cast", name, to=_FLOATS[target])

    def weight(self, name: str, dtype: str = "") -> str:
        """A norm or a table, stored."""
        return self.graph.weight(name, self.weights.plain(name, dtype or self.dtype))

    def _slots(self) -> list[str]:
        return [f"{kind}_{index}" for index in range(self.sizes.layers) for kind in ("key", "value")]

    def _cache_shape(self) -> tuple[int | str, ...]:
        return "B", self.sizes.kv_heads, "capacity", self.sizes.head_dim

    def _begin(self) -> str:
        graph, sizes = self.graph, self.sizes
        graph.input("inputs_embeds", "float32", ("B", "S", sizes.hidden))
        graph.input("image_rows", "int64", ("image_rows",))
        graph.input("output_rows", "int64", ("output_rows",))
        for slot in self._slots():
            graph.input(f"past_{slot}", self.cache_dtype, self._cache_shape())
        graph.constant("flat_rows", np.array([-1, sizes.hidden], np.int64))
        graph.constant("merge_heads", np.array([-1, sizes.heads * sizes.head_dim], np.int64))
        graph.op("Shape", "inputs_embeds", name="batch_and_rows", end=2)
        self.form_inputs()
        return self.cast(graph.op("Reshape", "inputs_embeds", "flat_rows"), "float32", self.dtype)

    def _product(self, rows: str, name: str, matrix: Matrix) -> str:
        if isinstance(matrix, Dense):
            return self.graph.op("MatMul", rows, self.graph.weight(name, matrix.values.T))
        if self.precision.widened:
            return self.graph.op("MatMul", rows, self.dequantised(name, matrix))
        return self.quantised(rows, name, matrix)

    def dequantised(self, name: str, matrix: Quantised) -> str:
        """An int8 weight with a scale for each output channel, as standard operators widen it."""
        stored = (
            self.graph.weight(f"{name}.int8", matrix.numbers.T),
            self.graph.weight(f"{name}.scale", matrix.scales[:, 0].astype(self.dtype)),
        )
        return self.graph.op("DequantizeLinear", *stored, name=name, axis=1)

    def image_rows(self, rows: str) -> str:
        """Those of the rows that hold image tokens."""
        return self.graph.op("Gather", rows, "image_rows", axis=0)

    def _linear(self, rows: str, image_rows: str, name: str) -> str:
        """rows @ W, plus the low-rank update on the image rows."""
        full = self._product(rows, f"{name}.weight", self.weights.matrix(f"{name}.weight"))
        down = self._product(image_rows, f"{name}.Plora_A.weight", self.weights.matrix(f"{name}.Plora_A.weight"))
        up = self.weights.matrix(f"{name}.Plora_B.weight")
        update = self._product(down, f"{name}.Plora_B.weight", up)
        # ONNX Runtime makes a Gemm of MatMul and Add, which is faster but takes no quantised weights as they are.
        add = "Add" if isinstance(up, Dense) or self.precision.widened else "Sum"
        width = (up.values if isinstance(up, Dense) else up.numbers).shape[0]
        return self.updated(full, update, width, add)

    def _attention(self, index: int, rows: str) -> str:
        name = f"layers.{index}.attention"
        mixed = self.attend(index, self._linear(rows, self.image_rows(rows), f"{name}.wqkv"))
        return self._linear(mixed, self.image_rows(mixed), f"{name}.wo")

    def _feed_forward(self, index: int, rows: str) -> str:
        graph, name = self.graph, f"layers.{index}.feed_forward"
        image_rows = self.image_rows(rows)
        gate = self._linear(rows, image_rows, f"{name}.w1")
        silu = graph.op("Mul", gate, graph.op("Sigmoid", gate))
        gated = graph.op("Mul", silu, self._linear(rows, image_rows, f"{name}.w3"))
        return self._linear(gated, self.image_rows(gated), f"{name}.w2")

    def _layer(self, index: int, rows: str, delta: str) -> tuple[str, str]:
        normed, rows = self.add_and_norm(rows, delta, f"layers.{index}.attention_norm.weight")
        normed, rows = self.add_and_norm(rows, self._attention(index, normed), f"layers.{index}.ffn_norm.weight")
        return rows, self._feed_forward(index, normed)
