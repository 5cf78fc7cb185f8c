"""Measures of masks: distances to the border, gaps between things, axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .items import Instance

Bits = NDArray[np.bool_]


def eroded(bits: Bits) -> Bits:
    """The mask without the pixels that touch its outside by an edge, bool (h, w)."""
    padded = np.pad(bits, 1)
    sides = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(padded[1:-1, 1:-1] & sides, np.bool_)


def border_distance(bits: Bits) -> NDArray[np.float64]:
    """Distance of every pixel of a mask to the nearest pixel outside it, exact; the outside of the array counts."""
    padded = np.pad(bits, 1)
    height, width = padded.shape
    down = np.zeros((height, width), np.int64)
    for row in range(1, height):  # pixels since the last outside one, from above
        down[row] = np.where(padded[row], down[row - 1] + 1, 0)
    up = np.zeros_like(down)
    for row in range(height - 2, -1, -1):
        up[row] = np.where(padded[row], up[row + 1] + 1, 0)
    column = np.minimum(down, up) ** 2
    best = column.copy()
    shift = 1
    while shift < width and shift * shift < best.max():
        np.minimum(best[:, shift:], column[:, :-shift] + shift * shift, out=best[:, shift:])
        np.minimum(best[:, :-shift], column[:, shift:] + shift * shift, out=best[:, :-shift])
        shift += 1
    return np.sqrt(best[1:-1, 1:-1])


def inner_point(instance: Instance) -> tuple[int, int, float]:
    """x, y of the pixel of a mask that lies farthest from its border, and how far: of equals that nearest to the
    centre, then the uppermost, then the leftmost."""
    distance = border_distance(instance.crop)
    rows, columns = np.nonzero(distance == distance.max())
    x, y = instance.centre
    away = (columns + instance.mask.x_px + 0.5 - x) ** 2 + (rows + instance.mask.y_px + 0.5 - y) ** 2
    place = min(range(len(rows)), key=lambda index: (round(float(away[index]), 9), rows[index], columns[index]))
    return (
        int(columns[place]) + instance.mask.x_px,
        int(rows[place]) + instance.mask.y_px,
        float(distance[rows[place], columns[place]]),
    )


def border_points(instance: Instance) -> NDArray[np.int64]:
    """x, y of the pixels at a mask's border, int64 (n, 2)."""
    rows, columns = np.nonzero(instance.crop & ~eroded(instance.crop))
    return np.stack([columns + instance.mask.x_px, rows + instance.mask.y_px], axis=1).astype(np.int64)


def box_gaps(instances: Sequence[Instance]) -> NDArray[np.float64]:
    """float64 (n, n): the empty pixels between two boxes at least; 0 where they touch or overlap."""
    boxes = np.array([one.mask.bbox for one in instances], np.float64).reshape(-1, 4)
    total = np.zeros((len(boxes), len(boxes)))
    for axis in (0, 1):
        low, high = boxes[:, axis], boxes[:, axis] + boxes[:, axis + 2]
        apart = np.maximum(np.maximum(low[:, None], low[None]) - np.minimum(high[:, None], high[None]), 0)
        total += apart**2
    return np.sqrt(total)


def gap_at_most(first: NDArray[np.int64], second: NDArray[np.int64], limit_px: float) -> bool:
    """Whether two things, given by their border points, have pixels whose middles are at most `limit_px` + 1 apart."""
    reach = limit_px + 1
    low, high = second.min(axis=0) - reach, second.max(axis=0) + reach
    near = first[((first >= low) & (first <= high)).all(axis=1)]
    if not len(near):
        return False
    low, high = near.min(axis=0) - reach, near.max(axis=0) + reach
    others = second[((second >= low) & (second <= high)).all(axis=1)]
    if not len(others):
        return False
    for start in range(0, len(near), 64):
        across = near[start : start + 64, 0, None] - others[:, 0]
        down = near[start : start + 64, 1, None] - others[:, 1]
        if (across * across + down * down).min() <= reach * reach:
            return True
    return False


def main_axis(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """Direction in degrees (0..180, y downwards) along which points (n, 2) spread most, and their standard deviation
    along and across it."""
    values, vectors = np.linalg.eigh(np.cov(points.T, bias=True))
    x, y = vectors[:, 1]
    return math.degrees(math.atan2(y, x)) % 180, math.sqrt(max(values[1], 0.0)), math.sqrt(max(values[0], 0.0))
