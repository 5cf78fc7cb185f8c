"""Bytes of the things that lie in memory while a question is answered."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..engine.manifest import BlockSpec, Manifest, Sizes, Term
from ..engine.names import PAST, PRESENT
from ..runtimes.workspace import kept_bytes, total

# Python, NumPy, Pillow and ONNX Runtime once it has run a block (76 MB resident with Python 3.11 and 1.32 on x86-64),
# and what answering imports and keeps beside the sizes below.
PROCESS_BYTES = 80_000_000
# What blocks that take turns leave in the heap when they are loaded again: 5.5 MB after the second answer, by 1 MB
# more after each of the next two, 7 to 11 MB in 14 runs of another day, and 15 MB once in a whole run of the tests. A
# plan may say too much rather than too little. Of blocks of 5 GB it was another 1.5 % of what is loaded at most.
RELOAD_BYTES, RELOAD_PART = 14_000_000, 0.02
_FLOAT = 4


@dataclass(frozen=True)
class Held:
    """What is kept beside weights and workspace: always, the grounding encoder's input while it runs, the views and
    what they become while they are encoded, and image tokens with the KV cache from then on.
    """

    always: int
    pixels: int
    views: int
    cache: int


def held_bytes(
    manifest: Manifest, views: int, prompt_tokens: int, image_px: int, capacity: int, batch: int, kv_dtype: str
) -> Held:
    """Of the images' pixels, their views and tokens, SAM 2's features and the KV cache."""
    sizes, blocks = manifest.sizes, manifest.blocks
    features = sum(_static_bytes(one.shape) for one in blocks["grounding_encoder"].outputs)
    tokens = prompt_tokens * sizes.hidden * _FLOAT
    cache = sum(
        batch * capacity * _static_bytes(one.shape, np.dtype(kv_dtype).itemsize)
        for one in blocks["language_model"].inputs
        if one.name.startswith(PAST)
    )
    return Held(
        pixels=sum(_static_bytes(one.shape) for one in blocks["grounding_encoder"].inputs),
        always=PROCESS_BYTES + 3 * image_px + features,
        views=views * 3 * sizes.tile_px**2 * _FLOAT + 2 * tokens,  # as they are encoded, and in prompt order
        cache=cache + tokens,
    )


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


def taken_by(
    block: str, spec: BlockSpec, sizes: Sizes, dims: dict[str, int], more: tuple[Term, ...] = (), spared: int = 0
) -> Taken:
    """What a block takes whose largest run has these symbolic dimensions; as measured, else estimated from its inputs
    and outputs. `more` is what a run takes beside that, `spared` are bytes of weights that are not loaded."""
    terms = spec.footprint.workspace if spec.footprint is not None else estimated(block, spec, sizes)
    work = total((*terms, *more), dims)
    return Taken(weights_bytes(spec) - spared, work, kept_bytes(spec, work, dims))


def estimated(block: str, spec: BlockSpec, sizes: Sizes) -> tuple[Term, ...]:
    """For engines of before footprints: twice the attention scores, and 16 times inputs and outputs."""
    terms = [
        Term(bytes=16.0 * _static_bytes(one.shape), dims=tuple(side for side in one.shape if isinstance(side, str)))
        for one in (*spec.inputs, *spec.outputs)
        if not one.name.startswith((PAST, PRESENT))
    ]
    if block == "language_model":
        terms.append(Term(bytes=2.0 * sizes.heads * _FLOAT, dims=("S", "capacity")))
    return tuple(terms)
