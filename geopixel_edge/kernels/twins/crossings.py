"""NumPy twin of csrc/crossings.cpp: what is wrong with simplified outlines, everything compared with everything."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.int64]
Touch = tuple[tuple[int, int], tuple[int, int]]  # ring and index of a corner that two rings have


class Chain(NamedTuple):
    """Vertices first..last of a closed ring, drawn as the one segment between its ends."""

    ring: int
    first: int
    last: int
    tolerance: float

    @property
    def exact(self) -> bool:
        """Whether the segment is an edge of the exact ring."""
        return self.last == self.first + 1


def _cross(a: Points, b: Points, c: Points) -> Points:
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])


def _meet(a: Points, b: Points, c: Points, d: Points) -> NDArray[np.bool_]:
    """Whether the segment a, b has more in common than one end with each of the segments c, d."""
    boxes = (np.maximum(np.minimum(a, b), np.minimum(c, d)) <= np.minimum(np.maximum(a, b), np.maximum(c, d))).all(
        axis=1
    )
    across = np.sign(_cross(a, b, c)) * np.sign(_cross(a, b, d)) <= 0
    across &= np.sign(_cross(c, d, a)) * np.sign(_cross(c, d, b)) <= 0
    at_a, at_b = (a == c).all(axis=1) | (a == d).all(axis=1), (b == c).all(axis=1) | (b == d).all(axis=1)
    end, p = np.where(at_a[:, None], a, b), np.where(at_a[:, None], b, a)
    q = np.where((end == c).all(axis=1)[:, None], d, c)
    along = (_cross(end, p, q) == 0) & (((p - end) * (q - end)).sum(axis=1) > 0)
    return boxes & np.where(at_a & at_b, True, np.where(at_a | at_b, along, across))


def _meetings(starts: Points, ends: Points, exact: NDArray[np.bool_]) -> set[int]:
    bad: set[int] = set()
    for place in np.flatnonzero(~exact).tolist():
        found = _meet(starts[place], ends[place], starts, ends)
        found[place] = False
        if found.any():
            bad |= {place, *np.flatnonzero(found).tolist()}
    return bad


def _overrun(rings: list[Points], chains: list[Chain]) -> set[int]:
    """Chains with another ring's first vertex between them and their segment: the winding number tells."""
    bad: set[int] = set()
    points = np.array([ring[0] for ring in rings])
    for place, chain in enumerate(chains):
        if chain.exact:
            continue
        a = rings[chain.ring][chain.first : chain.last + 1]
        b = np.roll(a, -1, axis=0)
        others = points[np.arange(len(rings)) != chain.ring]
        others = others[~((others == a[0]).all(axis=1) | (others == a[-1]).all(axis=1))][:, None]
        side = _cross(a, b, others)
        y = others[..., 1]
        up = (a[:, 1] <= y) & (b[:, 1] > y) & (side > 0)
        down = (a[:, 1] > y) & (b[:, 1] <= y) & (side < 0)
        if (up.sum(axis=1) != down.sum(axis=1)).any():
            bad.add(place)
    return bad


def _left_of(corner: Points, before: Points, after: Points, p: Points) -> bool:
    """Whether the direction from corner to p lies left of the way before, corner, after."""
    if _cross(corner, after, before) > 0:
        return bool(_cross(corner, after, p) > 0 and _cross(corner, p, before) > 0)
    return bool(_cross(corner, before, p) < 0 or _cross(corner, p, after) < 0)


def _order(corner: Points, one: list[Points], other: list[Points]) -> list[bool]:
    """Which ends of the two ways through the corner, each before and after it, lie left of the other way."""
    left = [_left_of(corner, one[0], one[1], p) for p in other]
    return left + [_left_of(corner, other[0], other[1], p) for p in one]


def _turned(rings: list[Points], chains: list[Chain], touches: list[Touch]) -> set[int]:
    """Chains around a ring's first vertex where it turns the other way, or around a touch that has another order."""
    bad: set[int] = set()
    after = {(chain.ring, chain.first): place for place, chain in enumerate(chains)}
    before = {(chain.ring, chain.last % (len(rings[chain.ring]) - 1)): place for place, chain in enumerate(chains)}

    def near(ring: int, index: int) -> list[Points]:
        here = rings[ring]
        return [here[chains[before[ring, index]].first], here[chains[after[ring, index]].last]]

    for number, ring in enumerate(rings):
        previous, following = near(number, 0)
        if np.sign(_cross(previous, ring[0], following)) != np.sign(_cross(ring[-2], ring[0], ring[1])):
            bad |= {before[number, 0], after[number, 0]}
    for pair in touches:
        corner = rings[pair[0][0]][pair[0][1]]
        exact = [[rings[ring][index - 1 if index else -2], rings[ring][index + 1]] for ring, index in pair]
        now = [near(ring, index) for ring, index in pair]
        if _order(corner, *exact) != _order(corner, *now):
            bad |= {links[place] for place in pair for links in (before, after)}
    return bad


def bad_chains(rings: list[Points], chains: list[Chain], touches: list[Touch]) -> set[int]:
    """Places of the chains that keep the rings from being as valid as the exact ones and nested like them.

    Their segment meets another one elsewhere than in an end of both, or runs along it; another ring's first vertex
    lies between them and their segment; or the ends of rings and touches are turned. See csrc/chains.h.
    """
    if not chains:
        return set()
    starts = np.array([rings[chain.ring][chain.first] for chain in chains])
    ends = np.array([rings[chain.ring][chain.last] for chain in chains])
    bad = _meetings(starts, ends, np.array([chain.exact for chain in chains]))
    return bad | _overrun(rings, chains) | _turned(rings, chains, touches)
