"""What sizes a TensorRT engine takes: each block's optimisation profiles, from the plan's largest sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ..engine.manifest import Manifest, Precision, Range, Sizes, TensorSpec
from ..errors import OptionError
from ..memory.capacity import CAPACITY_GRANULE
from ..memory.plan import MOST_BATCHED, Dims

Profile = Mapping[str, Range]
USUAL_VIEWS, USUAL_TEXT, USUAL_NEW_TOKENS = 10, 512, 1024


def default_capacity(sizes: Sizes) -> int:
    """Cache positions for an image divided as finely as by default, a long question and a long answer."""
    side = sizes.tokens_per_side
    image = USUAL_VIEWS * side * (side + 1) + 1  # a separator behind each line at most, and one between the grids
    return _up(image + USUAL_TEXT + USUAL_NEW_TOKENS)


def checked_capacity(capacity: int | None, sizes: Sizes) -> int:
    """The KV cache's length, a multiple of CAPACITY_GRANULE; OptionError below one or over twice the longest prompt."""
    if capacity is None:
        return default_capacity(sizes)
    most = _up(2 * sizes.max_prompt_tokens)
    if not CAPACITY_GRANULE <= capacity <= most:
        raise OptionError(f"capacity={capacity} is outside {CAPACITY_GRANULE}..{most}; give the positions of the cache")
    return _up(capacity)


def _up(positions: int) -> int:
    return -(-positions // CAPACITY_GRANULE) * CAPACITY_GRANULE


def profiles_of(block: str, dims: Dims) -> tuple[dict[str, Range], ...]:
    """Least, usual and most of every symbolic dimension, a profile each.

    The language model has one for prompts, a sequence at a time, and one for tokens, which carries no partial LoRA.
    """
    rows, batch = dims.prompt_chunk, dims.batch
    if block == "language_model":
        prompt = {"B": (1, 1, 1), "S": (1, rows, rows), "image_rows": (0, rows, rows), "output_rows": (0, 1, rows)}
        token = {"B": (1, 1, batch), "S": (1, 1, 1), "image_rows": (0, 0, 0), "output_rows": (1, 1, batch)}
        return prompt, token
    most = {"vision_encoder": dims.views_per_run, "pixel_decoder": dims.masks_per_run}.get(block)
    usual = most if block == "vision_encoder" else 1
    return ({"n": (1, usual or 1, most)},) if most else ()


def halves_of(block: str, precision: Precision) -> tuple[str, ...]:
    """Inputs that are pixels where the block computes in float16: they cross to the GPU at that width."""
    pixels = {"vision_encoder": ("views",), "grounding_encoder": ("image",)}
    return pixels.get(block, ()) if precision.compute == "float16" else ()


def halved(inputs: tuple[TensorSpec, ...], halves: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """What the plan takes."""
    return tuple(msgspec.structs.replace(one, dtype="float16") if one.name in halves else one for one in inputs)


def fixed_dims(block: str, dims: Dims) -> dict[str, int]:
    """Symbols that become numbers before the file is parsed."""
    return {"capacity": dims.capacity} if block == "language_model" else {}


def most_dims(block: str, dims: Dims) -> dict[str, int]:
    """What a manifest says of the block: the largest sizes, and the cache's length."""
    largest: dict[str, int] = {}
    for profile in profiles_of(block, dims):
        for symbol, (_, _, most) in profile.items():
            largest[symbol] = max(most, largest.get(symbol, 0))
    return {**largest, **fixed_dims(block, dims)}


def dims_for(manifest: Manifest, capacity: int | None) -> Dims:
    """The plan's largest sizes, as an engine is built for."""
    return Dims(capacity=checked_capacity(capacity, manifest.sizes), batch=MOST_BATCHED)


def shapes(
    tensor: TensorSpec, profile: Profile, fixed: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Least, usual and largest shape of a tensor under a profile."""
    bounds: Sequence[tuple[int, int, int]] = [
        (side, side, side) if isinstance(side, int) else profile.get(side) or (fixed[side],) * 3
        for side in tensor.shape
    ]
    least, usual, most = (tuple(side[index] for side in bounds) for index in range(3))
    return least, usual, most
