"""Bytes of the things that lie in memory while a question is answered."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..engine.manifest import BlockSpec, Manifest, Sizes, Term
from ..runtimes.workspace import kept_bytes, total

# Python, NumPy, Pillow and ONNX Runtime once it has run a block (76 MB resident with Python 3.11 and 1.32 on x86-64),
# and what answering imports and keeps beside the sizes below.
PROCESS_BYTES = 80_000_000
# What blocks that take turns leave in the heap when they are loaded again: 5.5 MB after the second answer, by 1 MB
# more after each of the next two, and up to 10 MB on a machine that is busy otherwise (six runs; same machine).
RELOAD_BYTES = 8_000_000
_FLOAT = 4


@dataclass(frozen=True)
class Held:
    """What is kept beside weights and workspace: always, the grounding encoder's input while it runs, the views while
    they are encoded, and the KV cache.
    """

    always: int
    pixels: int
    views: int
    cache: int


def held_bytes(manifest: Manifest, views: int, prompt_tokens: int, image_px: int, capacity: int, batch: int) -> Held:
    """Of the images' pixels, their views, the embedded prompt, SAM 2's features and the KV cache."""
    sizes, blocks = manifest.sizes, manifest.blocks
    features = sum(_static_bytes(one.shape) for one in blocks["grounding_encoder"].outputs)
    tokens = 2 * prompt_tokens * sizes.hidden * _FLOAT  # the image's own, and the prompt they are copied into
    cache = sum(
        batch * capacity * _static_bytes(one.shape, np.dtype(one.dtype).itemsize)
        for one in blocks["language_model"].inputs
        if one.name.startswith("past_")
    )
    return Held(
        pixels=sum(_static_bytes(one.shape) for one in blocks["grounding_encoder"].inputs),
        always=PROCESS_BYTES + 3 * image_px + features + tokens,
        views=views * 3 * sizes.tile_px**2 * _FLOAT,
        cache=cache,
    )


def cache_dtype(manifest: Manifest) -> str:
    """Of the numbers in the KV cache."""
    return next(one.dtype for one in manifest.blocks["language_model"].inputs if one.name.startswith("past_"))


def _static_bytes(shape: tuple[int | str, ...], itemsize: int = _FLOAT) -> int:
    """Bytes along the numbers of a shape; its symbols are factors of somebody else."""
    return prod(side for side in shape if isinstance(side, int)) * itemsize


def weights_bytes(spec: BlockSpec) -> int:
    """Of a loaded block, as measured; else its files, as much larger as widening to float32 makes them."""
    if spec.footprint is not None:
        return spec.footprint.weights_bytes
    return int(spec.bytes * (4 / spec.precision.bytes_per_number if spec.precision.widened else 1))


@dataclass(frozen=True)
class Taken:
    """Bytes of a loaded block: its weights, its largest run, and what the arena keeps of that when it has ended."""

    weights: int
    work: int
    kept: int

    def bytes(self, is_running: bool) -> int:
        """While the block runs, or another one does."""
        return self.weights + (self.work if is_running else self.kept)


def taken_by(block: str, spec: BlockSpec, sizes: Sizes, dims: dict[str, int]) -> Taken:
    """What a block takes whose largest run has these symbolic dimensions; as measured, else estimated from its inputs
    and outputs."""
    terms = spec.footprint.workspace if spec.footprint is not None else estimated(block, spec, sizes)
    work = total(terms, dims)
    return Taken(weights_bytes(spec), work, kept_bytes(spec, work, dims))


def estimated(block: str, spec: BlockSpec, sizes: Sizes) -> tuple[Term, ...]:
    """For engines of before footprints: twice the attention scores, and 16 times inputs and outputs."""
    terms = [
        Term(bytes=16.0 * _static_bytes(one.shape), dims=tuple(side for side in one.shape if isinstance(side, str)))
        for one in (*spec.inputs, *spec.outputs)
        if not one.name.startswith(("past_", "present_"))
    ]
    if block == "language_model":
        terms.append(Term(bytes=2.0 * sizes.heads * _FLOAT, dims=("S", "capacity")))
    return tuple(terms)
