"""How a block is loaded otherwise than its file has it. Nothing here knows a model: names are the caller's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from ..engine.manifest import BlockSpec, TensorSpec
from ..engine.names import PAST, PRESENT


@dataclass(frozen=True)
class Cut:
    """`without` outputs that are not wanted, and what only they need; `empty` inputs that will have no rows, and what
    those rows would go through; a cache of float16 where it is of float32 (`half_cache`).
    """

    without: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    half_cache: bool = False

    def spec(self, spec: BlockSpec) -> BlockSpec:
        """The block's entry as the cut file has it; inputs that nothing reads any more are still there."""
        outputs = tuple(one for one in spec.outputs if one.name not in self.without)
        return msgspec.structs.replace(spec, inputs=self._held(spec.inputs), outputs=self._held(outputs))

    def _held(self, tensors: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
        if not self.half_cache:
            return tuple(tensors)
        return tuple(
            msgspec.structs.replace(one, dtype="float16") if one.name.startswith((PAST, PRESENT)) else one
            for one in tensors
        )


WHOLE = Cut()
