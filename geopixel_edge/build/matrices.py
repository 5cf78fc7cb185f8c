"""A linear layer's weight as an engine stores it, and how each form of a graph lays its bytes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import F32, Array
from ..errors import EngineMismatchError

# MatMulNBits takes blocks of a power of two, 16 at least; per-channel scales are repeated for blocks of this size.
MIN_BLOCK, CHANNEL_BLOCK = 16, 128


@dataclass(frozen=True, eq=False)
class Dense:
    """A weight as it is: (outputs, inputs), float32 or float16."""

    values: Array


@dataclass(frozen=True, eq=False)
class Quantised:
    """numbers * scales is the weight: numbers (outputs, inputs) int8, scales (outputs, blocks) float32.

    `bits` is 4 (-8..7) or 8 (-127..127). Each `block` inputs share a scale, the last ones possibly fewer; 0: all of an
    output channel do, and there is one.
    """

    numbers: NDArray[np.int8]
    scales: F32
    bits: int
    block: int

    def widened(self) -> F32:
        """The float32 weight (outputs, inputs) that it stands for."""
        values: F32 = self.numbers.astype(np.float32)
        size = self.block or self.numbers.shape[1]
        for index in range(self.scales.shape[1]):
            values[:, index * size : (index + 1) * size] *= self.scales[:, index, None]
        return values


Matrix = Dense | Quantised


def block_for(inputs: int, block: int) -> int:
    """`block`, or for fewer inputs the power of two that holds them."""
    return min(block, max(MIN_BLOCK, 1 << (inputs - 1).bit_length()))


def in_blocks(matrix: Quantised) -> Quantised:
    """The same weight with per-channel scales repeated, as MatMulNBits takes them."""
    if matrix.block:
        return matrix
    inputs = matrix.numbers.shape[1]
    block = block_for(inputs, CHANNEL_BLOCK)
    return Quantised(matrix.numbers, np.repeat(matrix.scales, -(-inputs // block), axis=1), matrix.bits, block)


def per_channel(matrix: Quantised) -> Quantised:
    """The inverse of `in_blocks`; EngineMismatchError when a channel's scales differ."""
    first = matrix.scales[:, :1]
    if not (matrix.scales == first).all():
        raise EngineMismatchError("an int8 weight has scales of its own in a channel's blocks; export again")
    return Quantised(matrix.numbers, np.ascontiguousarray(first), matrix.bits, 0)


def pack_ready(matrix: Quantised) -> NDArray[np.uint8]:
    """(outputs, blocks, bytes of a block): numbers above zero point 8 or 128; at 4 bits the earlier in the low half."""
    outputs, inputs = matrix.numbers.shape
    zero = 1 << (matrix.bits - 1)
    blocks = -(-inputs // matrix.block)
    stored = np.full((outputs, blocks * matrix.block), zero, np.uint8)
    np.add(matrix.numbers, zero, out=stored[:, :inputs], casting="unsafe", dtype=np.int16)
    if matrix.bits == 4:
        stored = _halves(stored)
    return stored.reshape(outputs, blocks, -1)


def unpack_ready(stored: NDArray[np.uint8], scales: F32, bits: int, inputs: int) -> Quantised:
    """The inverse of `pack_ready`."""
    outputs, blocks, size = stored.shape
    flat = stored.reshape(outputs, -1)
    if bits == 4:
        flat = _wholes(flat)
    numbers = (flat[:, :inputs].astype(np.int16) - (1 << (bits - 1))).astype(np.int8)
    return Quantised(numbers, scales.reshape(outputs, blocks), bits, size * 8 // bits)


def pack_portable(matrix: Quantised) -> NDArray[np.uint8]:
    """int4 (inputs, outputs) row by row, two to a byte, the earlier one in the low half."""
    flat = np.ascontiguousarray(matrix.numbers.T).reshape(-1).view(np.uint8) & np.uint8(15)
    return _halves(np.pad(flat, (0, flat.size % 2)))


def unpack_portable(stored: NDArray[np.uint8], scales: F32, block: int, outputs: int, inputs: int) -> Quantised:
    """The inverse of `pack_portable`; `scales` (blocks, outputs)."""
    flat = _wholes(stored.reshape(-1))[: inputs * outputs]
    numbers = ((flat ^ np.uint8(8)).astype(np.int8) - 8).reshape(inputs, outputs)
    return Quantised(np.ascontiguousarray(numbers.T), np.ascontiguousarray(scales.T), 4, block)


def _halves(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    packed: NDArray[np.uint8] = stored[..., 0::2] | stored[..., 1::2] << np.uint8(4)
    return packed


def _wholes(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1).reshape(*packed.shape[:-1], -1)
