"""A language model of any widths with random weights, quantised already: its files are written without a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.precision import stored_as
from geopixel_edge.arrays import Array
from geopixel_edge.build.decoder import DecoderSizes
from geopixel_edge.build.forms import GRAPHS
from geopixel_edge.build.matrices import Dense, Matrix, Quantised, block_for
from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.manifest import BlockSpec, Form, Precision

WIDTHS = {"wqkv": (6144, 4096), "wo": (4096, 4096), "w1": (14336, 4096), "w3": (14336, 4096), "w2": (4096, 14336)}
RANK, VOCABULARY, POSITIONS = 256, 1003, 4096


@dataclass(frozen=True)
class RandomWeights:
    """Weights in the place of a checkpoint's, with GeoPixel-7B's widths; activations stay of the size of one."""

    precision: Precision

    def plain(self, name: str, dtype: str) -> Array:
        """Ones for norms; true rotary tables."""
        if name not in ("cos", "sin"):
            return np.ones(4096, dtype)
        angles = np.arange(POSITIONS)[:, None] / 1e6 ** (np.arange(64) / 64)
        return (np.cos(angles) if name == "cos" else np.sin(angles)).astype(dtype)

    def matrix(self, name: str) -> Matrix:
        """(outputs, inputs), at the precision's dtype."""
        outputs, inputs = WIDTHS.get(name.split(".")[-2].removesuffix("_A"), (VOCABULARY, 4096))
        if "Plora" in name:
            outputs, inputs = WIDTHS[name.split(".")[-3]]
            outputs, inputs = (RANK, inputs) if "Plora_A" in name else (outputs, RANK)
        random = np.random.default_rng(list(name.encode()))  # equal weights would share memory
        dtype = stored_as(self.precision, name)
        if dtype in ("float32", "float16"):
            return Dense((random.standard_normal((outputs, inputs), np.float32) / np.sqrt(inputs)).astype(dtype))
        bits, block = (4, block_for(inputs, self.precision.group)) if dtype == "int4" else (8, 0)
        top = 1 << (bits - 1)
        numbers = random.integers(1 - top, top, (outputs, inputs), dtype=np.int8)
        scale = 1.7 / top / np.sqrt(inputs)
        scales = np.full((outputs, inputs // block if block else 1), scale, np.float32)
        return Quantised(numbers, scales, bits, block)


def write_decoder(root: Path, precision: Precision, form: Form, layers: int = 2) -> BlockSpec:
    """Write `language_model.onnx` with its data into `root`; returns its entry of a manifest."""
    sizes = DecoderSizes(layers, 4096, 32, 8, 128, VOCABULARY, 1e-5)
    writer = GRAPHS[form](root / "language_model.onnx", sizes, precision, RandomWeights(precision))
    writer.write()
    return BlockSpec(
        runtime="onnx",
        precision=precision,
        files=tuple(describe_file(root, name) for name in ("language_model.onnx", "language_model.onnx.data")),
        inputs=tuple(writer.graph.inputs),
        outputs=tuple(writer.graph.outputs),
    )
