"""The 8-connected parts of a mask, by its runs: what one mask for many things is taken apart into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .runs import Runs

Ints = NDArray[np.int64]


def parts(runs: Runs) -> list[Runs]:
    """The 8-connected parts, in the order of their first pixel, column by column."""
    if not runs.counts.size:
        return []
    column, low, high = in_columns(runs.counts, runs.h)
    label = _labels(len(column), *_touching(column, low, high, runs.h))
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    return [
        from_columns(column[some], low[some], high[some]).moved(runs.x, runs.y) for some in np.split(order, starts[1:])
    ]


def in_columns(counts: NDArray[np.uint32], height: int) -> tuple[Ints, Ints, Ints]:
    """Column, first row and row after the last of every run, split where columns end; sorted."""
    ends = np.cumsum(counts.astype(np.int64))
    first, last = ends[0::2][: len(ends) // 2], ends[1::2]
    many = (last - 1) // height - first // height + 1
    run = np.repeat(np.arange(len(first)), many)
    column = (first // height)[run] + np.arange(len(run)) - np.repeat(np.cumsum(many) - many, many)
    low = np.maximum(first[run], column * height) - column * height
    high = np.minimum(last[run], (column + 1) * height) - column * height
    return column, low, high


def _touching(column: Ints, low: Ints, high: Ints, height: int) -> tuple[Ints, Ints]:
    """Pairs of runs in neighbouring columns that touch, corners too."""
    wide = height + 2
    since = np.searchsorted(column * wide + high, (column + 1) * wide + low, "left")
    until = np.searchsorted(column * wide + low, (column + 1) * wide + high, "right")
    many = np.maximum(until - since, 0)
    one = np.repeat(np.arange(len(column)), many)
    other = np.repeat(since, many) + np.arange(len(one)) - np.repeat(np.cumsum(many) - many, many)
    return one, other


def _labels(count: int, one: Ints, other: Ints) -> Ints:
    """The smallest number that is connected to each of 0..count: every root joins the smallest root it meets."""
    root = np.arange(count)
    while True:
        a, b = root[one], root[other]
        apart = a != b
        if not apart.any():
            return root
        a, b = a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while (up := root[root]).tobytes() != root.tobytes():
            root = up


def from_columns(column: Ints, low: Ints, high: Ints) -> Runs:
    """The pixels of column, first row and row after the last of runs, one at least, sorted."""
    x, y = int(column[0]), int(low.min())
    w, h = int(column[-1]) + 1 - x, int(high.max()) - y
    if len(column) == 1:
        return Runs(x, y, w, h, np.array([0, h], np.uint32))
    first, last = (column - x) * h + low - y, (column - x) * h + high - y
    new = np.flatnonzero(first[1:] > last[:-1])  # a run that goes on in the next column is one
    first, last = first[np.r_[0, new + 1]], last[np.r_[new, len(last) - 1]]
    edges = np.empty(2 * len(first) + 1, np.int64)
    edges[0], edges[1::2], edges[2::2] = 0, first, last
    counts = np.diff(edges)
    rest = w * h - int(last[-1])
    return Runs(x, y, w, h, np.append(counts, rest if rest else []).astype(np.uint32))
