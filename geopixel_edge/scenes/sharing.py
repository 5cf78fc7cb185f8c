"""Which views share pixels: candidates by the cells of the scene that their boxes touch, then by their runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..kernels.native import native
from .views import View
from .windows import Box

Ints = NDArray[np.int64]

_CELL_PX = 64
# Views of one window crowd in its cells: so many pairs take some 100 MB.
_PAIRS_AT_ONCE = 1_000_000


def shared(views: Sequence[View], new: int) -> Iterator[tuple[int, int, int]]:
    """(i, j, pixels in both) of every two views of different windows that share pixels; i < j, and i < `new`."""
    boxes = _boxes(views)
    left, right = _meeting(boxes, new)
    corner = np.minimum(boxes[left, :2], boxes[right, :2])  # the kernels take boxes near an origin of 0
    of_left, of_right = _from(boxes[left], corner), _from(boxes[right], corner)
    overlap = native.rle_overlap
    for i, j, one, other in zip(left.tolist(), right.tolist(), of_left, of_right, strict=True):
        if pixels := overlap(one, views[i].runs.counts, other, views[j].runs.counts):
            yield i, j, pixels


def _boxes(views: Sequence[View]) -> Ints:
    """int64 (n, 5): x0, y0, x1, y1 and the window."""
    numbers = chain.from_iterable((*view.runs[:4], view.window) for view in views)
    found = np.fromiter(numbers, np.int64, 5 * len(views)).reshape(-1, 5)
    found[:, 2:4] += found[:, :2]
    return found


def _from(boxes: Ints, corner: Ints) -> Iterator[Box]:
    """Boxes as x, y, width, height from a corner each."""
    x, y = (boxes[:, :2] - corner).T.tolist()
    w, h = (boxes[:, 2:4] - boxes[:, :2]).T.tolist()
    return zip(x, y, w, h, strict=True)


def _meeting(boxes: Ints, new: int) -> tuple[Ints, Ints]:
    """Pairs of boxes of different windows that share a pixel, each pair once: those in a common cell are compared.

    The first of a pair is one of the first `new`.
    """
    cell, box = _cells(boxes)
    since, until = np.searchsorted(cell, cell, "left"), np.searchsorted(cell, cell, "right")
    ends = np.cumsum(until - since)
    found = [np.empty(0, np.int64)]
    first = 0
    while first < len(cell):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")))
        many = (until - since)[first:last]
        left = np.repeat(box[first:last], many)
        place = np.repeat(since[first:last], many) + np.arange(len(left)) - np.repeat(np.cumsum(many) - many, many)
        right = box[place]
        keep = (left < right) & (left < new) & (boxes[left, 4] != boxes[right, 4])
        left, right = left[keep], right[keep]
        a, b = boxes[left], boxes[right]
        keep = (np.maximum(a[:, :2], b[:, :2]) < np.minimum(a[:, 2:4], b[:, 2:4])).all(axis=1)
        found.append(left[keep] * len(boxes) + right[keep])
        first = last
    pairs = np.sort(np.concatenate(found))  # not np.unique: its table of hashes is many times slower on such numbers
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    return np.divmod(pairs, max(1, len(boxes)))


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
