"""What a run's inputs say of its sizes, and memory for the outputs in the shapes that follow."""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.manifest import BlockSpec
from . import Device, Tensor


def sides_of(spec: BlockSpec, feeds: Mapping[str, Tensor]) -> dict[str, int]:
    """The numbers that the feeds give the declared symbols."""
    declared = {tensor.name: tensor.shape for tensor in spec.inputs}
    return {
        symbol: side
        for name, tensor in feeds.items()
        for symbol, side in zip(declared[name], tensor.shape, strict=False)
        if isinstance(symbol, str)
    }


def made(spec: BlockSpec, device: Device, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Memory for the outputs that `into` does not name."""
    sides = sides_of(spec, feeds)
    return {
        out.name: device.empty(out.dtype, [sides[side] if isinstance(side, str) else side for side in out.shape])
        for out in spec.outputs
        if out.name not in into
    }
