"""An engine of real size without a checkpoint: `python -m benchmarks.scale.random_engine ENGINE OUT --layers 32`.

ENGINE gives the graphs of the encoders, tokenizer and manifest (a directory without its data files will do: graphs are
megabytes, weights gigabytes); the language model is written anew. All weights are random, so that speed and memory can
be measured where no checkpoint is. Answers mean nothing, and there are no golden values.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto

from export.manifest import block_spec
from export.precision import parse_precision, stored_as
from export.torch_model.language_model import rotary_tables
from geopixel_edge.arrays import Array
from geopixel_edge.build.decoder import DecoderSizes
from geopixel_edge.build.forms import GRAPHS
from geopixel_edge.build.matrices import Dense, Matrix, Quantised
from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import read_manifest, write_manifest
from geopixel_edge.engine.manifest import BlockSpec, Embeddings, Form, Precision

from .shapes import GEOPIXEL_7B, Shapes

RANK = 256
_POOL = 1 << 22  # numbers drawn; larger tensors repeat them
_STD = 0.02  # of weights, as language models are initialised
_SPREAD = {4: 4.6, 8: 74.0}  # standard deviation of uniform whole numbers of so many bits


class RandomWeights:
    """A decoder's weights by name, of the sizes asked for."""

    def __init__(self, shapes: Shapes, precision: Precision) -> None:
        self.shapes, self.precision = shapes, precision
        random = np.random.default_rng(11)
        self._normal = random.standard_normal(_POOL, dtype=np.float32) * np.float32(_STD)
        self._whole = {bits: random.integers(-(1 << bits - 1) + 1, 1 << bits - 1, _POOL, np.int8) for bits in (4, 8)}

    def numbers(self) -> Array:
        """The numbers drawn, float16."""
        return self._normal.astype(np.float16)

    def plain(self, name: str, dtype: str) -> Array:
        """Norms are ones; the rotary tables are what they are."""
        if name not in ("cos", "sin"):
            return np.ones(self.shapes.hidden, dtype)
        import torch

        cos, sin = rotary_tables(self.shapes.head_dim, torch.arange(24576), 1e6)
        return (cos if name == "cos" else sin).numpy().astype(dtype)

    def matrix(self, name: str) -> Matrix:
        """(outputs, inputs), as the precision stores it."""
        outputs, inputs = self._shape(name)
        stored = stored_as(self.precision, name)
        if stored in ("float32", "float16"):
            return Dense(np.resize(self._normal.astype(stored), (inputs, outputs)).T)
        bits = 4 if stored == "int4" else 8
        block = self.precision.group if bits == 4 else 0
        scales = np.full((outputs, inputs // block if block else 1), _STD / _SPREAD[bits], np.float32)
        return Quantised(np.resize(self._whole[bits], (outputs, inputs)), scales, bits, block)

    def _shape(self, name: str) -> tuple[int, int]:
        s = self.shapes
        wide = (s.heads + 2 * s.kv_heads) * s.head_dim
        parts = name.split(".")
        outputs, inputs = {
            "wqkv": (wide, s.hidden),
            "wo": (s.hidden, s.hidden),
            "w1": (s.intermediate, s.hidden),
            "w3": (s.intermediate, s.hidden),
            "w2": (s.hidden, s.intermediate),
            "output": (s.vocabulary, s.hidden),
        }[parts[0] if parts[0] == "output" else parts[3]]
        low = {"Plora_A": (RANK, inputs), "Plora_B": (outputs, RANK)}
        return low.get(parts[-2], (outputs, inputs))


def make(source: Path, out: Path, shapes: Shapes, precision: str, form: Form) -> None:
    """Write the engine directory `out`."""
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("language_model*", "*.data"))
    records, manifest = parse_precision(precision), read_manifest(source)
    weights = RandomWeights(shapes, records["language_model"])
    sizes = DecoderSizes(
        shapes.layers, shapes.hidden, shapes.heads, shapes.kv_heads, shapes.head_dim, shapes.vocabulary, 1e-5
    )
    GRAPHS[form](out / "language_model.onnx", sizes, records["language_model"], weights).write()
    blocks: dict[str, BlockSpec] = {}
    for name, block in manifest.blocks.items():
        if name == "language_model":
            blocks[name] = block_spec(out, name, records[name])
            continue
        _fill(out / f"{name}.onnx")
        blocks[name] = msgspec.structs.replace(block, files=tuple(describe_file(out, one.path) for one in block.files))
    table = np.lib.format.open_memmap(
        out / manifest.embeddings.file.path, mode="w+", dtype=np.float16, shape=(shapes.vocabulary, shapes.hidden)
    )
    table[:] = np.resize(weights.numbers(), table.shape)
    table.flush()
    changed = msgspec.structs.replace(
        manifest,
        blocks=blocks,
        form=form,
        sizes=msgspec.structs.replace(manifest.sizes, layers=shapes.layers),
        embeddings=Embeddings(file=describe_file(out, manifest.embeddings.file.path)),
    )
    write_manifest(out, changed)


def _fill(path: Path) -> None:
    """Random numbers for every weight that a graph keeps in its data file."""
    random = np.random.default_rng(12)
    for tensor in onnx.load(str(path), load_external_data=False).graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        if not place:
            continue
        length, data = int(place["length"]), path.with_name(place["location"])
        with data.open("r+b" if data.is_file() else "w+b") as stream:
            stream.seek(int(place.get("offset", 0)))
            stream.write(_values(tensor, length, random).tobytes())


def _values(tensor: TensorProto, length: int, random: np.random.Generator) -> Array:
    if tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        return random.integers(0, 256, length, np.uint8)
    dtype = np.dtype("float32" if tensor.data_type == TensorProto.FLOAT else "float16")
    count = length // dtype.itemsize
    if "scale" in tensor.name:
        return np.full(count, _STD / _SPREAD[8], dtype)
    return np.resize((random.standard_normal(min(count, _POOL), dtype=np.float32) * _STD).astype(dtype), count)


def main(argv: list[str] | None = None) -> int:
    """Make the engine that the arguments describe."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.random_engine", description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=GEOPIXEL_7B.layers)
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--form", choices=tuple(GRAPHS), default="ready")
    args = parser.parse_args(argv)
    make(args.engine, args.out, replace(GEOPIXEL_7B, layers=args.layers), args.precision, args.form)
    return 0


if __name__ == "__main__":
    sys.exit(main())
