"""Scenes whose objects are known, and the views that a perfect model would give of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geopixel_edge.kernels.native import native
from geopixel_edge.scenes.merging import Merged
from geopixel_edge.scenes.parts import parts
from geopixel_edge.scenes.runs import Runs
from geopixel_edge.scenes.sweep import merge_views
from geopixel_edge.scenes.views import View, make_view
from geopixel_edge.scenes.windows import Grid

Bits = NDArray[np.bool_]
Pixels = frozenset[tuple[tuple[int, int, int, int], bytes]]


def runs_of(mask: Bits) -> Runs:
    """The pixels of a whole mask."""
    return Runs(*native.mask_from_array(np.ascontiguousarray(mask)))


def truth_of(mask: Bits) -> list[Runs]:
    """Its objects: the 8-connected parts."""
    return parts(runs_of(mask))


def random_mask(rng: np.random.Generator, width: int, height: int) -> Bits:
    """Blobs, bars and winding lines, some longer than any window, some touching the scene's border."""
    mask = np.zeros((height, width), np.bool_)
    for _ in range(rng.integers(1, 14)):
        x, y = rng.integers(0, width), rng.integers(0, height)
        kind = rng.integers(3)
        if kind == 0:
            w, h = rng.integers(1, 16, 2)
            mask[y : y + h, x : x + w] = rng.random((h, w))[: height - y, : width - x] < rng.choice([0.6, 1.0])
        elif kind == 1:
            mask[y : y + 2, x : x + rng.integers(10, width)] = True
        else:
            steps = np.cumsum(rng.integers(-1, 2, (rng.integers(20, 4 * width), 2)) + rng.integers(-1, 2, 2) / 3, 0)
            xs, ys = np.clip(np.rint(steps + np.array([x, y])).astype(int), 0, [width - 1, height - 1]).T
            mask[ys, xs] = True
    return mask


def views_of(mask: Bits, grid: Grid, score: float = 0.9) -> list[View]:
    """What a perfect model shows in every window of a mask of the whole scene."""
    found = []
    for index in range(len(grid)):
        x, y, w, h = grid.box(index)
        for part in parts(runs_of(mask[y : y + h, x : x + w])):
            found.append(make_view(grid, index, part.moved(x, y), score))
    return found


def merge(grid: Grid, views: list[View]) -> list[Merged]:
    """The objects of views in any order, sorted as a layer has them."""
    rows: dict[int, list[View]] = {}
    for view in views:
        rows.setdefault(view.window // grid.columns, []).append(view)
    found = list(merge_views(grid, lambda _: True, sorted(rows.items())))
    return sorted(found, key=lambda one: (one.pieces[0].y, one.pieces[0].x, one.area_px))


def pixels(some: list[Runs]) -> Pixels:
    """Pixel sets without order."""
    return frozenset((one.box, one.counts.tobytes()) for one in some)


def painted(objects: list[Merged], width: int, height: int) -> NDArray[np.int32]:
    """How many objects cover each pixel."""
    out = np.zeros((height, width), np.int32)
    for one in objects:
        for x, y, w, h, counts in one.pieces:
            out[y : y + h, x : x + w] += native.rle_window((0, 0, w, h), counts, (0, 0, w, h))
    return out
