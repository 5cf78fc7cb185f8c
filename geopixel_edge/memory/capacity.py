"""How long the KV cache is, and of which numbers."""

from __future__ import annotations

from ..engine.manifest import Manifest
from ..engine.names import PAST
from ..errors import MemoryBudgetError

# A cache length of this granularity serves many requests; its waste is at most 127 positions.
CAPACITY_GRANULE = 128


def cache_dtype(manifest: Manifest) -> str:
    """Of the numbers in the KV cache, as the engine's files have them."""
    return next(one.dtype for one in manifest.blocks["language_model"].inputs if one.name.startswith(PAST))


def fixed_capacity(manifest: Manifest) -> int | None:
    """The only cache length that the engine was built for; None where it takes any."""
    return manifest.blocks["language_model"].dims.get("capacity")


def cache_capacity(manifest: Manifest, positions: int) -> int:
    """The cache's length: what the engine fixes, else enough for these positions.

    MemoryBudgetError where the engine's is too short.
    """
    fixed = fixed_capacity(manifest)
    if fixed is not None and positions > fixed:
        raise MemoryBudgetError(
            f"prompt and answer may take {positions} positions, and the engine was built for a cache of {fixed}; give "
            f"a smaller max_new_tokens or hd_num, or build it with --capacity {positions}"
        )
    return fixed or -(-positions // CAPACITY_GRANULE) * CAPACITY_GRANULE
