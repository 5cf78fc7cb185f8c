"""An engine of real size from its graphs alone: `python -m benchmarks.scale.random_engine ENGINE`.

ENGINE holds manifest, graphs and tokenizer, but no weights (they are gigabytes, graphs are megabytes): random ones are
written in their place, so that speed and memory can be measured where the checkpoint is not. Answers mean nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto

from geopixel_edge.arrays import Array
from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import read_manifest, write_manifest
from geopixel_edge.engine.manifest import Embeddings

_POOL = 1 << 22  # numbers drawn; larger tensors repeat them
_STD = 0.02  # of weights, as language models are initialised
_MEAN_STEP = 4.6  # standard deviation of uniform whole numbers in -8..7


class _Pool:
    """Numbers of each kind, drawn once."""

    def __init__(self) -> None:
        random = np.random.default_rng(11)
        self._normal = random.standard_normal(_POOL, dtype=np.float32) * np.float32(_STD)
        self._bytes = random.integers(0, 256, _POOL, np.uint8)

    def values(self, tensor: TensorProto, count: int) -> Array:
        """As many numbers of the tensor's dtype as it holds, as bytes lie in its file."""
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16):
            dtype = np.float32 if tensor.data_type == TensorProto.FLOAT else np.float16
            if "norm" in tensor.name:
                return np.ones(count, dtype)
            if "scale" in tensor.name:
                return np.full(count, _STD / _MEAN_STEP / (16 if "8" in tensor.name else 1), dtype)
            return np.resize(self._normal.astype(dtype), count)
        return np.resize(self._bytes, count)


def fill(root: Path) -> None:
    """Write the data files of every block and the embedding table of an engine directory, and a manifest that fits."""
    manifest, pool = read_manifest(root), _Pool()
    blocks = {}
    for name, block in manifest.blocks.items():
        for file in block.files:
            if file.path.endswith(".onnx"):
                _fill_graph(root / file.path, pool)
        blocks[name] = msgspec.structs.replace(block, files=tuple(describe_file(root, one.path) for one in block.files))
    sizes = manifest.sizes
    shape, table = (sizes.vocabulary, sizes.hidden), root / manifest.embeddings.file.path
    kept = np.lib.format.open_memmap(table, mode="w+", dtype=np.float16, shape=shape)
    kept[:] = np.resize(pool.values(TensorProto(data_type=TensorProto.FLOAT16), _POOL), shape)
    kept.flush()
    embeddings = Embeddings(file=describe_file(root, manifest.embeddings.file.path))
    write_manifest(root, msgspec.structs.replace(manifest, blocks=blocks, embeddings=embeddings))


def _fill_graph(path: Path, pool: _Pool) -> None:
    for tensor in onnx.load(str(path), load_external_data=False).graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        if not place:
            continue
        length, data = int(place["length"]), path.with_name(place["location"])
        itemsize = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2}.get(tensor.data_type, 1)
        with data.open("r+b" if data.is_file() else "w+b") as stream:
            stream.seek(int(place["offset"]))
            stream.write(pool.values(tensor, length // itemsize).view(np.uint8).data)


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
