"""What merging can get wrong, for `scene_judge`: things there twice, in pieces, or ended by a window's border."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from .scene_mosaics import Shapes
from .scene_read import Points

Indices = NDArray[np.intp]


def lines_of(size_px: tuple[int, int], window: int, overlap: int) -> tuple[Points, Points]:
    """x and y of windows' borders and of the middles of their overlaps."""
    found = []
    for side in size_px:
        start = np.arange(window - overlap, side + window, window - overlap, dtype=np.float64)
        last = [side - window, side - window + overlap]
        found.append(np.unique(np.concatenate([start, start + overlap / 2, start + overlap, last])))
    return found[0], found[1]


def twice(found: Shapes, p: Indices, t: Indices, common: Points, true_areas: Points) -> tuple[int, int]:
    """How many true things were found more than once, and how many found ones lie on each other by half."""
    areas = shapely.area(found)
    whole = (common >= 0.5 * areas[p]) & (common >= 0.5 * true_areas[t])
    same = int((np.bincount(t[whole], minlength=1) > 1).sum())
    a, b = shapely.STRtree(found).query(found, predicate="intersects")
    a, b = a[a < b], b[a < b]
    over = shapely.area(shapely.intersection(found[a], found[b])) >= 0.5 * np.minimum(areas[a], areas[b])
    return same, int(over.sum())


def cuts(
    found: Shapes, truth: Shapes, p: Indices, t: Indices, common: Points, lines: tuple[Points, Points]
) -> tuple[int, int]:
    """Pairs of pieces of one thing along a straight line, and things that end at a window's border."""
    areas, true_areas = shapely.area(found), shapely.area(truth)
    part = (common >= 0.6 * areas[p]) & (common >= 0.1 * true_areas[t])
    pieces = ends = 0
    for thing in np.unique(t[part]):
        mine = p[part & (t == thing)]
        pieces += sum(_beside(found[a], found[b]) for a in mine for b in mine if a < b)
        if len(mine) == 1:
            covered = common[part & (t == thing)][0] / true_areas[thing]
            ends += bool(covered < 0.85 and _ends_on(found[mine[0]], truth[thing], lines))
    return pieces, ends


def _beside(a: shapely.Geometry, b: shapely.Geometry) -> bool:
    """Whether two shapes touch along a straight line and hardly overlap."""
    if shapely.distance(a, b) > 3 or shapely.intersection(a, b).area >= 0.3 * min(a.area, b.area):
        return False
    bounds = np.array(shapely.intersection(a.buffer(2.5), b.buffer(2.5)).bounds)
    short, long = np.sort(bounds[2:] - bounds[:2])
    return bool(short <= 8.1 and long >= 1.5 * short and long >= 8)


def _ends_on(shape: shapely.Geometry, thing: shapely.Geometry, lines: tuple[Points, Points]) -> bool:
    """Whether a shape ends in a straight edge on one of the lines, beyond which the thing goes on."""
    largest = max(shapely.get_parts(shape), key=lambda one: one.area)
    points = shapely.get_coordinates(shapely.simplify(largest.exterior, 0.3))
    extent = np.ptp(points, axis=0)
    for a, b in pairwise(points):
        for axis in (0, 1):
            length = abs(b[1 - axis] - a[1 - axis])
            straight = abs(a[axis] - b[axis]) <= 0.3 and length >= max(6, 0.2 * extent[1 - axis])
            if not straight or abs(lines[axis] - a[axis]).min() > 2.5:
                continue
            on = a + (b - a) * np.linspace(0.1, 0.9, 5)[:, None]
            for out in (np.eye(2)[axis], -np.eye(2)[axis]):
                near, far = on + 2.0 * out, on + max(4.0, 0.25 * extent[axis]) * out
                goes_on = shapely.contains_xy(thing, near) & shapely.contains_xy(thing, far)
                if not shapely.contains_xy(shape, near).any() and goes_on.sum() >= 4:
                    return True
    return False
