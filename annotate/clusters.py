"""Clusters of things by the gaps between their masks: DBSCAN, the same for every order of its input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .geometry import border_points, box_gaps, gap_at_most
from .items import Instance

REACH = 1.5  # lengths of the class's median thing: what stands nearer belongs together
MIN_NEIGHBOURS = 3  # a thing with this many within reach, itself counted, holds a cluster together
_DENSE = 4_000  # things in one table of all pairs


def clusters(things: Sequence[Instance]) -> tuple[list[list[Instance]], list[Instance]]:
    """The clusters of three and more, and what belongs to none, each sorted by y, x and id.

    A thing at the rim of several clusters goes to that of its first neighbour that holds one together.
    """
    ordered = sorted(things, key=lambda one: (one.centre[1], one.centre[0], one.order))
    if len(ordered) < MIN_NEIGHBOURS:
        return [], ordered
    reach = REACH * float(np.median([one.length_px for one in ordered]))
    near = _neighbours(ordered, reach)
    holds = [len(found) >= MIN_NEIGHBOURS for found in near]
    label = [-1] * len(ordered)
    count = 0
    for start in range(len(ordered)):
        if not holds[start] or label[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            at = waiting.pop()
            if label[at] < 0:
                label[at] = count
                waiting += [other for other in near[at] if holds[other] and label[other] < 0]
        count += 1
    for at, found in enumerate(near):
        if label[at] < 0:
            label[at] = next((label[other] for other in found if holds[other]), -1)
    grouped: list[list[Instance]] = [[] for _ in range(count)]
    for one, number in zip(ordered, label, strict=True):
        if number >= 0:
            grouped[number].append(one)
    return grouped, [one for one, number in zip(ordered, label, strict=True) if number < 0]


def _neighbours(things: Sequence[Instance], reach_px: float) -> list[list[int]]:
    """For each thing the numbers of those within reach, itself included, in order."""
    near = [[at] for at in range(len(things))]
    borders: dict[int, NDArray[np.int64]] = {}
    for first, second in _candidates(things, reach_px):
        for one in (first, second):
            if one not in borders:
                borders[one] = border_points(things[one])
        if gap_at_most(borders[first], borders[second], reach_px):
            near[first].append(second)
            near[second].append(first)
    return [sorted(found) for found in near]


def _candidates(things: Sequence[Instance], reach_px: float) -> list[tuple[int, int]]:
    """Pairs whose boxes are within reach."""
    found: list[tuple[int, int]] = []
    boxes = np.array([one.mask.bbox for one in things], np.float64)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    if len(things) <= _DENSE:
        first, second = np.nonzero(np.triu(box_gaps(things) <= reach_px, 1))
        return list(zip(first.tolist(), second.tolist(), strict=True))
    for at in range(len(things) - 1):
        apart = np.maximum(np.maximum(low[at], low[at + 1 :]) - np.minimum(high[at], high[at + 1 :]), 0)
        found += [(at, at + 1 + int(other)) for other in np.flatnonzero(np.hypot(*apart.T) <= reach_px)]
    return found
