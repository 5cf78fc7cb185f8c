"""Which views share pixels: candidates by the cells of the scene that their boxes touch, then by their runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.native import native
from .views import View

Ints = NDArray[np.int64]

_CELL_PX = 64
# Views of one window crowd in its cells: so many pairs take some 100 MB.
_PAIRS_AT_ONCE = 1_000_000


def shared(ones: Sequence[View], others: Sequence[View] | None = None) -> Iterator[tuple[int, int, int]]:
    """(i, j, pixels in both) of every view of `ones` and of `others` that share pixels, of different windows.

    Without `others` of every two of `ones`, each pair once.
    """
    a = _boxes(ones)
    b, theirs = (a, ones) if others is None else (_boxes(others), others)
    left, right = _meeting(a, b, within=others is None)
    corner = np.minimum(a[left, :2], b[right, :2])  # the kernels take boxes near an origin of 0
    in_a, in_b = _from(a[left], corner), _from(b[right], corner)
    for i, j, one, other in zip(left.tolist(), right.tolist(), in_a, in_b, strict=True):
        if pixels := native.rle_overlap(one, ones[i].runs.counts, other, theirs[j].runs.counts):
            yield i, j, pixels


def _boxes(views: Sequence[View]) -> Ints:
    """int64 (n, 5): x0, y0, x1, y1 and the window."""
    found = np.array([(*view.runs[:4], view.window) for view in views], np.int64).reshape(-1, 5)
    found[:, 2:4] += found[:, :2]
    return found


def _from(boxes: Ints, corner: Ints) -> list[Any]:
    """Boxes as x, y, width, height from a corner each."""
    return np.column_stack([boxes[:, :2] - corner, boxes[:, 2:4] - boxes[:, :2]]).tolist()


def _meeting(a: Ints, b: Ints, within: bool) -> tuple[Ints, Ints]:
    """Pairs of boxes of different windows that share a pixel, each pair once: those in a common cell are compared.

    `within`: `a` and `b` are the same boxes, and the pair (j, i) is (i, j).
    """
    cell_a, box_a = _cells(a)
    cell_b, box_b = (cell_a, box_a) if within else _cells(b)
    since, until = np.searchsorted(cell_b, cell_a, "left"), np.searchsorted(cell_b, cell_a, "right")
    ends = np.cumsum(until - since)
    found = [np.empty(0, np.int64)]
    first = 0
    while first < len(cell_a):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")))
        many = (until - since)[first:last]
        left = np.repeat(box_a[first:last], many)
        place = np.repeat(since[first:last], many) + np.arange(len(left)) - np.repeat(np.cumsum(many) - many, many)
        right = box_b[place]
        keep = a[left, 4] != b[right, 4]
        if within:
            keep &= left < right
        left, right = left[keep], right[keep]
        keep = (np.maximum(a[left, :2], b[right, :2]) < np.minimum(a[left, 2:4], b[right, 2:4])).all(axis=1)
        found.append(left[keep] * len(b) + right[keep])
        first = last
    pairs = np.sort(np.concatenate(found))  # not np.unique: its table of hashes is many times slower on such numbers
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    size = max(1, len(b))
    return pairs // size, pairs % size


def _cells(boxes: Ints) -> tuple[Ints, Ints]:
    """Every cell that a box touches, sorted, and which box it is."""
    low, high = boxes[:, :2] // _CELL_PX, (boxes[:, 2:4] - 1) // _CELL_PX
    wide, tall = (high - low + 1).T
    box = np.repeat(np.arange(len(boxes)), wide * tall)
    within = np.arange(len(box)) - np.repeat(np.cumsum(wide * tall) - wide * tall, wide * tall)
    x, y = low[box, 0] + within % wide[box], low[box, 1] + within // wide[box]
    cell = (y << 32) | x
    order = np.argsort(cell, kind="stable")
    return cell[order], box[order]
