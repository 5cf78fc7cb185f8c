"""Runtimes that execute a block. Each file here imports one of them; nothing else in the package does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..arrays import Array
from ..engine.directory import Engine
from ..engine.manifest import BlockSpec
from ..errors import EngineMismatchError, RuntimeUnavailableError
from ..resources import shortage
from .onnx_import import import_onnxruntime
from .signatures import differences


class State(Protocol):
    """Device buffers a block reads and writes in place (the KV cache)."""

    def numpy(self, name: str) -> Array:
        """A buffer's content on the host."""
        ...

    def grown(self, dims: Mapping[str, int], keep: int) -> State:
        """New zeroed buffers with other symbolic dimensions, the first `keep` slots of that axis copied over."""
        ...


class BlockRunner(Protocol):
    """One loaded block."""

    spec: BlockSpec

    def run(self, feeds: Mapping[str, Array], state: State | None = None) -> dict[str, Array]:
        """Run once; inputs are cast to the graph's dtypes, `state` is bound to its inputs and outputs in place."""
        ...

    def new_state(self, pairs: Mapping[str, str], dims: Mapping[str, int]) -> State:
        """Zeroed buffers for `pairs` (input -> output that writes it); `dims` gives the symbolic dimensions."""
        ...


def load_block(engine: Engine, block: str, device: str, threads: int | None) -> BlockRunner:
    """Load one block with the runtime its manifest entry names.

    EngineMismatchError when its inputs and outputs are not those of this block; RuntimeUnavailableError when the
    runtime is absent.
    """
    spec = engine.manifest.blocks[block]
    if found := differences(block, spec, engine.manifest.sizes):
        raise EngineMismatchError(f"block {block!r} is another's or has other sizes: {'; '.join(found[:3])}")
    paths = [engine.path(file) for file in spec.files]
    if spec.runtime == "onnx":
        try:
            import_onnxruntime()
        except (ImportError, MemoryError) as error:
            doing = f"block {block!r} needs onnxruntime, which cannot be loaded ({error})"
            missing = RuntimeUnavailableError(f"{doing}; pip install onnxruntime")
            raise shortage(error, doing) or missing from None
        from .onnx import OnnxBlock

        return OnnxBlock(paths[0], spec, block, device, threads)
    raise RuntimeUnavailableError(f"block {block!r} is for runtime {spec.runtime!r}; this version runs 'onnx' engines")
