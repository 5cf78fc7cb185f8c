"""Which views share pixels: candidates by the cells of the scene that their boxes touch, then by their runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .runs import common
from .views import View

Ints = NDArray[np.int64]

_CELL_PX = 64


def shared(ones: Sequence[View], others: Sequence[View]) -> Iterator[tuple[int, int, int]]:
    """(i, j, pixels in both) of every view of `ones` and of `others` that share pixels, of different windows."""
    if not ones or not others:
        return
    a, b = _boxes(ones), _boxes(others)
    left, right = _in_one_cell(a, b)
    meet = (
        (a[left, 0] < b[right, 2])
        & (b[right, 0] < a[left, 2])
        & (a[left, 1] < b[right, 3])
        & (b[right, 1] < a[left, 3])
        & (a[left, 4] != b[right, 4])
    )
    for i, j in zip(left[meet].tolist(), right[meet].tolist(), strict=True):
        if pixels := common(ones[i].runs, others[j].runs):
            yield i, j, pixels


def _boxes(views: Sequence[View]) -> Ints:
    """int64 (n, 5): x0, y0, x1, y1 and the window."""
    rows = [(r.x, r.y, r.x + r.w, r.y + r.h, view.window) for view in views for r in (view.runs,)]
    return np.array(rows, np.int64)


def _in_one_cell(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Pairs of boxes that touch a common cell, each pair once."""
    (cell_a, box_a), (cell_b, box_b) = _cells(a), _cells(b)
    since, until = np.searchsorted(cell_b, cell_a, "left"), np.searchsorted(cell_b, cell_a, "right")
    many = until - since
    left = np.repeat(box_a, many)
    place = np.repeat(since, many) + np.arange(len(left)) - np.repeat(np.cumsum(many) - many, many)
    pairs = np.unique(left * len(b) + box_b[place])
    return pairs // len(b), pairs % len(b)


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
