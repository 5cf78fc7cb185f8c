"""How much a run takes beside the weights, by the footprint measured at export, and which runs give it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from ..engine.manifest import BlockSpec, Term

# A run that takes more gives its arena back when it ends, since another block needs the room; what is smaller is kept
# for the next one, whose pages would all have to be touched anew.
LARGE_RUN_BYTES = 256_000_000
# Of a large run's workspace stays at most this part: 1.19 GB of the grounding encoder left 0.21, 1.03 GB of two views
# 0.17, in chunks of the arena that still hold something.
KEPT_PART = 0.17


def total(terms: Iterable[Term], sides: Mapping[str, int]) -> int:
    """Bytes of the terms for these symbolic dimensions."""
    return int(sum(term.bytes * prod(sides.get(symbol, 1) for symbol in term.dims) for term in terms))


def is_large(spec: BlockSpec, sides: Mapping[str, int]) -> bool:
    """Whether a run of these sizes gives back what it took; never for a block that was not measured."""
    return spec.footprint is not None and total(spec.footprint.workspace, sides) > LARGE_RUN_BYTES


def kept_bytes(spec: BlockSpec, workspace_bytes: int, sides: Mapping[str, int]) -> int:
    """What is left of a run's workspace when it has ended."""
    return int(workspace_bytes * KEPT_PART) if is_large(spec, sides) else workspace_bytes
