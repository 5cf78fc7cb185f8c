"""The Large Language Model from a checkpoint: one layer's weights in memory at a time, quantised as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from tqdm import tqdm

from geopixel_edge.arrays import F32
from geopixel_edge.build.decoder import DecoderSizes
from geopixel_edge.build.forms import GRAPHS
from geopixel_edge.build.matrices import Dense, Matrix, Quantised
from geopixel_edge.engine.manifest import Form, Precision

from .checkpoint import Checkpoint
from .int4 import quantise_blocks
from .int8 import quantise
from .onnx_file import at_dtype
from .precision import stored_as
from .torch_model.language_model import rotary_tables

# Of a weight that is rounded: its rows do not depend on each other, and several float32 copies of them are made.
_ROWS_AT_ONCE = 8192
# The norm before each linear layer: its weights say how loud each input is.
_NORMS = {
    "wqkv": "attention_norm",
    "w1": "ffn_norm",
    "w3": "ffn_norm",
}


class LanguageModelGraph:
    """Writes the decoder of a checkpoint in a form; what it takes and gives: geopixel_edge/build/decoder.py."""

    def __init__(self, checkpoint: Checkpoint, path: Path, precision: Precision, form: Form = "ready") -> None:
        c = checkpoint.config
        self.form, self.path = form, path
        sizes = DecoderSizes(
            layers=c.layers,
            hidden=c.hidden,
            heads=c.heads,
            kv_heads=c.kv_heads,
            head_dim=c.head_dim,
            vocabulary=c.vocabulary,
            epsilon=float(c.rms_norm_eps),
        )
        self.graph = GRAPHS[form](path, sizes, precision, CheckpointWeights(checkpoint, precision))

    def write(self, progress: tqdm[Any]) -> None:
        """Write the files; the bar moves on after each layer."""
        self.graph.write(progress.update)
        if self.form == "portable":  # onnx knows no contributed operators
            onnx.checker.check_model(str(self.path))


class CheckpointWeights:
    """A checkpoint's language model as a precision stores it."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        self.checkpoint, self.config, self.precision = checkpoint, checkpoint.config, precision
        self._keys = checkpoint.claims["language_model"]
        self._dtype = "float16" if precision.compute == "float16" else "float32"

    def _tensor(self, name: str) -> Tensor:
        return self.checkpoint.tensor(self._keys[name])

    def plain(self, name: str, dtype: str) -> np.ndarray:
        """A norm's weight, or the rotary tables."""
        if name not in ("cos", "sin"):
            return at_dtype(self._tensor(name), dtype, name)
        c = self.config
        cos, sin = rotary_tables(c.head_dim, torch.arange(c.max_positions), c.rope_theta)
        return at_dtype(cos if name == "cos" else sin, dtype, name)

    def matrix(self, name: str) -> Matrix:
        """A linear layer's weight (outputs, inputs), rows of q, k and v taken apart."""
        return self._ordered(name, self.unordered(name))

    def unordered(self, name: str) -> Matrix:
        """The same with rows as the checkpoint has them."""
        return stored(self._tensor(name), name, self.precision, self._loudness(name))

    def _loudness(self, name: str) -> np.ndarray | None:
        """Of each input of a layer: as calibration heard it; or for one that follows a norm the norm's weight, since
        what it multiplies is even."""
        if (heard := self.checkpoint.loudness.get(name.removesuffix(".weight"))) is not None:
            return heard
        layer, _, linear = name.removesuffix(".weight").removesuffix(".Plora_A").rpartition(".")
        norm = "norm" if name == "output.weight" else f"{layer.rpartition('.')[0]}.{_NORMS.get(linear, '')}"
        key = f"{norm}.weight"
        return None if "Plora_B" in name or key not in self._keys else at_dtype(self._tensor(key), "float32", key)

    def _ordered(self, name: str, matrix: Matrix) -> Matrix:
        c = self.config
        if ".wqkv." not in name or "Plora_A" in name:
            return matrix
        order = unpacked_order(c.heads, c.kv_heads, c.head_dim).numpy()
        if isinstance(matrix, Dense):
            return Dense(matrix.values[order])
        return Quantised(matrix.numbers[order], matrix.scales[order], matrix.bits, matrix.block)


def stored(value: Tensor, name: str, precision: Precision, loudness: np.ndarray | None) -> Matrix:
    """A weight (outputs, inputs) as a precision stores it."""
    dtype = stored_as(precision, name)
    if dtype in ("float32", "float16"):
        return Dense(at_dtype(value, dtype, name))
    group = precision.group if dtype == "int4" else 0
    loud = None if loudness is None else np.abs(loudness)
    parts = [_rounded(at_dtype(rows, "float32", name), group, loud) for rows in value.split(_ROWS_AT_ONCE)]
    numbers, scales = (
        np.concatenate(found) for found in zip(*((one.numbers, one.scales) for one in parts), strict=True)
    )
    return Quantised(numbers, scales, parts[0].bits, parts[0].block)


def _rounded(rows: F32, group: int, loudness: F32 | None) -> Quantised:
    """Rows of a weight at int4 with a scale for each `group` inputs, or at int8 with one for each row (group 0)."""
    if group:
        return quantise_blocks(rows, group, loudness)
    numbers, scale = quantise(rows, axis=0)
    return Quantised(numbers, scale[:, None], 8, 0)


def unpacked_order(heads: int, kv_heads: int, head_dim: int) -> Tensor:
    """Row order from [q x groups, k, v] per KV head to all q, then all k, then all v (reference behaviour 13)."""
    groups = heads // kv_heads
    packed = torch.arange((heads + 2 * kv_heads) * head_dim).reshape(kv_heads, groups + 2, head_dim)
    return torch.cat([packed[:, :groups].reshape(-1), packed[:, groups].reshape(-1), packed[:, groups + 1].reshape(-1)])
