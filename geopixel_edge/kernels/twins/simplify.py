"""NumPy twin of csrc/simplify.cpp: outlines with fewer vertices, within a tolerance and as valid as before."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from .crossings import Chain, Touch, bad_chains

Ring = NDArray[np.int32]

LONGEST_CHAIN = 1024  # longer ones are halved unseen, so that no ring takes quadratic time
LEAST_TOLERANCE_PX = 0.25  # half a tolerance below this is 0


def _distances2(a: NDArray[np.int64], b: NDArray[np.int64], points: NDArray[np.int64]) -> NDArray[np.float64]:
    """Squared distances of the points from the segment a, b in px^2, in the C++ kernel's order of operations."""
    d, from_a, from_b = b - a, points - a, points - b
    along, length2 = from_a @ d, int(d @ d)
    area = (d[0] * from_a[:, 1] - d[1] * from_a[:, 0]).astype(np.float64)
    inner = area * area / np.float64(max(length2, 1))
    outer = np.where(along <= 0, (from_a**2).sum(axis=1), (from_b**2).sum(axis=1)).astype(np.float64)
    return np.where((along <= 0) | (along >= length2), outer, inner)


def _middle(ring: NDArray[np.int64], first: int, last: int, tolerance: float) -> int | None:
    """Where to cut: the vertex farthest from the segment, of several the one nearest to the chain's middle."""
    if last - first > LONGEST_CHAIN:
        return first + (last - first) // 2
    if last == first + 1:
        return None
    distances = _distances2(ring[first], ring[last], ring[first + 1 : last])
    most = distances.max()
    if not most > tolerance * tolerance:
        return None
    candidates = first + 1 + np.flatnonzero(distances == most)
    return int(candidates[np.abs(2 * candidates - first - last).argmin()])


def _cut(ring: NDArray[np.int64], chain: Chain) -> list[Chain]:
    """The chain as chains whose vertices are all within its tolerance of their segments."""
    done, todo = [], [chain]
    while todo:
        here = todo.pop()
        middle = _middle(ring, here.first, here.last, here.tolerance)
        if middle is None:
            done.append(here)
        else:
            todo += [here._replace(first=middle), here._replace(last=middle)]
    return done


def _touches(rings: list[NDArray[np.int64]]) -> list[Touch]:
    places: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, ring in enumerate(rings):
        for index, (x, y) in enumerate(ring[:-1].tolist()):
            places.setdefault((x, y), []).append((number, index))
    return [(found[0], found[1]) for found in places.values() if len(found) == 2]


def _first_cut(rings: list[NDArray[np.int64]], touches: list[Touch], tolerance_px: float) -> list[Chain]:
    kept: list[set[int]] = [{0, int(((ring - ring[0]) ** 2).sum(axis=1).argmax()), len(ring) - 1} for ring in rings]
    for pair in touches:
        for number, index in pair:
            kept[number].add(index)
    chains: list[Chain] = []
    for number, ring in enumerate(rings):
        ends = sorted(kept[number])
        for first, last in itertools.pairwise(ends):
            chains += _cut(ring, Chain(number, first, last, tolerance_px))
    return chains


def simplify(polygons: list[list[Ring]], tolerance_px: float) -> list[list[Ring]]:
    """The polygons' rings with only some of their vertices: Douglas-Peucker, cut finer where it would do harm.

    Every ring keeps its first vertex, the one farthest from it and those where it touches others. Chains that
    `bad_chains` finds are cut again with half of their tolerance, in the end with 0, which gives the exact ring back.
    """
    rings = [ring.astype(np.int64) for polygon in polygons for ring in polygon]
    touches = _touches(rings)
    chains = _first_cut(rings, touches, tolerance_px)
    while bad := bad_chains(rings, chains, touches):
        finer: list[Chain] = []
        for place, chain in enumerate(chains):
            if place in bad and not chain.exact:
                half = chain.tolerance / 2
                half = half if half >= LEAST_TOLERANCE_PX else 0.0
                finer += _cut(rings[chain.ring], chain._replace(tolerance=half))
            else:
                finer.append(chain)
        chains = finer
    found: list[list[int]] = [[] for _ in rings]
    for chain in chains:
        found[chain.ring].append(chain.first)
    simple = iter([ring[[*indices, 0]].astype(np.int32) for ring, indices in zip(rings, found, strict=True)])
    return [[next(simple) for _ in polygon] for polygon in polygons]
