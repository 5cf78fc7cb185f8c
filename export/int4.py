"""Weights as int4 in blocks along the inputs, with the scale that loses least.

The nearest numbers to weight / scale depend on the scale. For given numbers the best scale is a ratio of two sums, so
that a few candidates for each block, tried side by side, find numbers and scale together. Errors of an input count by
how loud that input is, where that is known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geopixel_edge.build.matrices import Quantised, block_for

F32 = npt.NDArray[np.float32]
_LOWEST, _HIGHEST = -8, 7
# What the largest number of a block may become, and beyond -8: it is cut, for the sake of the others.
_CANDIDATES = np.array([7.2, 7.6, 8.0, 8.4, 8.8, 9.3, 9.9, 10.6, 11.4], np.float32)
# A piece and what is made of it stay in a core's cache.
_PIECE_NUMBERS = 1 << 16


def quantise_blocks(weight: F32, block: int, loudness: F32 | None = None) -> Quantised:
    """A weight (outputs, inputs) with a scale for each `block` inputs.

    `loudness` (inputs,) is the root mean square of each input, up to a factor; None: all are alike.
    """
    outputs, inputs = weight.shape
    size = block_for(inputs, block)
    blocks = -(-inputs // size)
    padding = blocks * size - inputs
    factors = np.ones(inputs, np.float32) if loudness is None else np.maximum(loudness, 1e-3 * loudness.max())
    loud = np.pad(factors, (0, padding)).reshape(blocks, size)
    numbers = np.empty((outputs, blocks * size), np.int8)
    scales = np.empty((outputs, blocks), np.float32)
    step = max(1, _PIECE_NUMBERS // (blocks * size))
    for start in range(0, outputs, step):
        piece = (
            np.pad(weight[start : start + step], ((0, 0), (0, padding))) if padding else weight[start : start + step]
        )
        cut = np.ascontiguousarray(piece, np.float32).reshape(-1, blocks, size)
        found, scale = _best(cut, None if loudness is None else loud)
        numbers[start : start + step] = found.reshape(len(cut), -1)
        scales[start : start + step] = scale
    return Quantised(numbers[:, :inputs], scales, 4, size)


def _best(weight: F32, loud: F32 | None) -> tuple[npt.NDArray[np.int8], F32]:
    """Numbers (n, blocks, size) and scales (n, blocks) of a piece: those whose weighted squared error is least."""
    at = np.abs(weight).argmax(axis=-1, keepdims=True)
    largest = np.take_along_axis(weight, at, axis=-1)[..., 0]
    with np.errstate(divide="ignore", over="ignore"):
        unit = np.where(np.abs(largest) < np.finfo(np.float32).tiny * 16, np.float32(0), -1 / largest)
    # |w - s l|^2 at the best s is |w|^2 - (w l)^2 / (l l): the largest gain is the smallest error.
    wanted = weight if loud is None else weight * loud * loud
    gain, inverse = np.full(unit.shape, -1, np.float32), unit * 8
    rounded = np.empty_like(weight)
    for candidate in _CANDIDATES:
        along, square = _sums(weight, unit * candidate, wanted, loud, rounded)
        found = along * along / np.where(square > 0, square, 1)
        better = found > gain
        gain[better], inverse[better] = found[better], (unit * candidate)[better]
    for _ in range(2):  # the best scale for these numbers, and the nearest numbers for that scale
        along, square = _sums(weight, inverse, wanted, loud, rounded)
        scale = np.where(along != 0, along / np.where(square > 0, square, 1), np.float32(1))
        inverse = np.where(along != 0, 1 / scale, np.float32(0))
    return rounded.astype(np.int8), scale.astype(np.float32)


def _sums(weight: F32, inverse: F32, wanted: F32, loud: F32 | None, rounded: F32) -> tuple[F32, F32]:
    """Round weight * inverse into `rounded`, and give its products with the weights and with itself, per block."""
    np.multiply(weight, inverse[..., None], out=rounded)
    np.rint(rounded, out=rounded)
    np.clip(rounded, _LOWEST, _HIGHEST, out=rounded)
    along = np.einsum("nbk,nbk->nb", wanted, rounded)
    heard = rounded if loud is None else rounded * loud
    return along, np.einsum("nbk,nbk->nb", heard, heard)
