"""NumPy twins of csrc/divider.cpp: Pillow's 8-bit bilinear resize, the tiles, the global view, SAM 2's input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import F32

U8 = NDArray[np.uint8]
Triple = tuple[float, float, float]

# Pillow keeps weights as integers of this many fraction bits: 32 less 8 for the pixel and 2 for the sum.
PRECISION_BITS = 22
# Bicubic weights (a = -0.75) halfway between two pixels, in 1/32: exact, so the global view needs no float taps.
HALF_TAPS = (-3, 19, 19, -3)


def _weights_u8(in_px: int, out_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First source index (out,) and integer weights (out, taps) of Pillow's triangle filter."""
    scale = in_px / out_px
    support = max(scale, 1.0)
    inverse = 1.0 / support
    centre = (np.arange(out_px) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), in_px) - first
    taps = np.zeros((out_px, int(count.max())))
    total = np.zeros(out_px)
    for j in range(taps.shape[1]):
        distance = np.abs((j + first - centre + 0.5) * inverse)
        taps[:, j] = np.where((j < count) & (distance < 1.0), 1.0 - distance, 0.0)
        total += taps[:, j]
    taps /= np.where(total != 0.0, total, 1.0)[:, None]
    return first, (0.5 + taps * (1 << PRECISION_BITS)).astype(np.int64)


def _resize_rows(image: U8, out_px: int) -> U8:
    """One 8-bit pass along axis 0, rounded and clipped as Pillow does."""
    if image.shape[0] == out_px:
        return image
    first, weights = _weights_u8(image.shape[0], out_px)
    total = np.full((out_px, *image.shape[1:]), 1 << (PRECISION_BITS - 1), np.int64)
    for j in range(weights.shape[1]):
        rows = np.minimum(first + j, image.shape[0] - 1)
        total += weights[:, j, None, None] * image[rows]
    return np.clip(total >> PRECISION_BITS, 0, 255).astype(np.uint8)


def resize(image: U8, width_px: int, height_px: int, vertical_first: bool, threads: int = 0) -> U8:
    """uint8 (H, W, 3) -> (height_px, width_px, 3), Pillow's BILINEAR; `vertical_first` transposes its order."""
    if vertical_first:
        return _resize_columns(_resize_rows(image, height_px), width_px)
    return _resize_rows(_resize_columns(image, width_px), height_px)


def _resize_columns(image: U8, out_px: int) -> U8:
    return np.ascontiguousarray(_resize_rows(image.swapaxes(0, 1), out_px).swapaxes(0, 1))


def _halve(values: NDArray[np.int64], out_px: int) -> NDArray[np.int64]:
    """Bicubic samples along axis 0 at integer scale, in 1/32: one pixel for an odd scale, four for an even one."""
    scale = values.shape[0] // out_px
    start = np.arange(out_px) * scale + (scale - 1) // 2
    if scale % 2:
        return values[start] * 32
    total = np.zeros((out_px, *values.shape[1:]), np.int64)
    for j, weight in enumerate(HALF_TAPS):
        total += weight * values[np.clip(start - 1 + j, 0, values.shape[0] - 1)]
    return total


def _normalise(values: F32, mean: Triple, std: Triple) -> F32:
    """(..., 3) values in 0..255 -> normalised, in the float32 steps of the reference: /255, - mean, / std."""
    unit: F32 = values / np.float32(255)
    centred: F32 = unit - np.asarray(mean, np.float32)
    return np.divide(centred, np.asarray(std, np.float32), dtype=np.float32)


def divide(
    image: U8,
    rows: int,
    cols: int,
    resized_w_px: int,
    resized_h_px: int,
    transposed: bool,
    tile_px: int,
    mean: Triple,
    std: Triple,
    pad_value: int,
    threads: int = 0,
    out: NDArray[Any] | None = None,
    half: bool = False,
) -> NDArray[Any]:
    """uint8 (H, W, 3) -> float32, or float16 if `half`, (1 + rows * cols, 3, tile_px, tile_px).

    The resized sizes are in landscape orientation.
    """
    width, height = (resized_h_px, resized_w_px) if transposed else (resized_w_px, resized_h_px)
    padded = np.full((rows * tile_px, cols * tile_px, 3), pad_value, np.uint8)
    padded[:height, :width] = resize(image, width, height, transposed)
    table = _normalise(np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1), mean, std)
    dtype = np.float16 if half else np.float32
    views = np.empty((1 + rows * cols, 3, tile_px, tile_px), dtype) if out is None else out
    samples = _halve(_halve(padded.astype(np.int64), tile_px).swapaxes(0, 1), tile_px).swapaxes(0, 1)
    views[0] = _normalise(samples.astype(np.float32) / np.float32(1024), mean, std).transpose(2, 0, 1)
    tiles = padded.reshape(rows, tile_px, cols, tile_px, 3).transpose(0, 2, 4, 1, 3)
    for channel in range(3):
        views[1:, channel] = table[tiles[:, :, channel], channel].reshape(-1, tile_px, tile_px)
    return views


def _weights_f32(in_px: int, out_px: int) -> tuple[NDArray[np.int64], F32]:
    """First source index (out,) and float32 weights (out, taps) of torch's antialiased bilinear filter.

    The mix of float32 and float64 steps is torch's: in plain float64 the weights of a large image differ by 1e-4.
    """
    scale = np.float32(in_px) / np.float32(out_px)
    support = max(scale, np.float32(1))
    inverse = np.float32(1.0 / float(support))
    centre = (float(scale) * (np.arange(out_px) + 0.5)).astype(np.float32)
    first = np.maximum(((centre - support).astype(np.float64) + 0.5).astype(np.int64), 0)
    count = np.minimum(((centre + support).astype(np.float64) + 0.5).astype(np.int64), in_px) - first
    taps = np.zeros((out_px, int(count.max())), np.float32)
    total = np.zeros(out_px, np.float32)
    for j in range(taps.shape[1]):
        offset = (j + first).astype(np.float32) - centre
        distance = np.abs(((offset.astype(np.float64) + 0.5) * float(inverse)).astype(np.float32))
        taps[:, j] = np.where((j < count) & (distance < 1), np.float32(1) - distance, np.float32(0))
        total += taps[:, j]
    taps /= np.where(total != 0, total, np.float32(1))[:, None]
    return first, taps


def _resize_rows_f32(values: U8 | F32, out_px: int) -> F32:
    first, weights = _weights_f32(values.shape[0], out_px)
    total = np.zeros((out_px, *values.shape[1:]), np.float32)
    for j in range(weights.shape[1]):
        rows = np.minimum(first + j, values.shape[0] - 1)
        total += weights[:, j, None, None] * values[rows].astype(np.float32)
    return total


def grounding_input(
    image: U8, side_px: int, mean: Triple, std: Triple, threads: int = 0, out: F32 | None = None
) -> F32:
    """uint8 (H, W, 3) -> float32 (1, 3, side_px, side_px): antialiased bilinear squash, rows first, then normalised."""
    squashed = _resize_rows_f32(_resize_rows_f32(image, side_px).swapaxes(0, 1), side_px).swapaxes(0, 1)
    made = np.empty((1, 3, side_px, side_px), np.float32) if out is None else out
    made[0] = _normalise(squashed, mean, std).transpose(2, 0, 1)
    return made
