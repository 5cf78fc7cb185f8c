"""Views of windows over a scene of ellipses that are known: what `benchmarks.scenes` merges, and gives to its peers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopixel_edge.kernels.native import native
from geopixel_edge.scenes.runs import Runs
from geopixel_edge.scenes.sweep import merge_views
from geopixel_edge.scenes.views import View, make_view
from geopixel_edge.scenes.windows import Grid

WINDOW_PX, OVERLAP_PX = 640, 160
# One ellipse stands in each square of this side, so that none touch.
_PITCH_PX = 76
Boxes = NDArray[np.float64]  # (n, 4): x0, y0, x1, y1


@dataclass(frozen=True, eq=False)
class Views:
    """`views` of windows of `grid`, and the `truth` that they show, a box each."""

    grid: Grid
    views: list[View]
    truth: Boxes


def make_views(count: int, seed: int = 1) -> Views:
    """At least `count` views: what a model that sees all right shows of each ellipse in every window that it meets."""
    rng = np.random.default_rng(seed)
    side = max(WINDOW_PX, int(np.sqrt(count / 1.97)) * _PITCH_PX)
    while True:
        grid = Grid(side, side, WINDOW_PX, OVERLAP_PX)
        views: list[View] = []
        truth = []
        for y in range(0, side - _PITCH_PX + 1, _PITCH_PX):
            for x in range(0, side - _PITCH_PX + 1, _PITCH_PX):
                thing = _ellipse(rng).moved(x + int(rng.integers(1, 8)), y + int(rng.integers(1, 8)))
                truth.append((thing.x, thing.y, thing.x + thing.w, thing.y + thing.h))
                views += _seen(grid, thing, rng)
        if len(views) >= count:
            return Views(grid, views, np.array(truth, np.float64))
        side += 4 * _PITCH_PX


def _ellipse(rng: np.random.Generator) -> Runs:
    w, h = rng.integers(10, 64, 2)
    y, x = np.mgrid[:h, :w] + 0.5
    inside = ((x - w / 2) / (w / 2)) ** 2 + ((y - h / 2) / (h / 2)) ** 2 <= 1
    return Runs(*native.mask_from_array(np.ascontiguousarray(inside)))


def _seen(grid: Grid, thing: Runs, rng: np.random.Generator) -> list[View]:
    """An ellipse as each window shows it."""
    found = []
    for window in grid.around(thing.box):
        x, y, w, h = grid.box(window)
        left, top = max(0, x - thing.x), max(0, y - thing.y)
        right, bottom = min(thing.w, x + w - thing.x), min(thing.h, y + h - thing.y)
        shown = native.rle_window((0, 0, thing.w, thing.h), thing.counts, (left, top, right - left, bottom - top))
        if shown.any():
            runs = Runs(*native.mask_from_array(np.ascontiguousarray(shown))).moved(thing.x + left, thing.y + top)
            found.append(make_view(grid, window, runs, float(rng.uniform(0.5, 1.0))))
    return found


def merge(some: Views) -> tuple[float, Boxes]:
    """Seconds to merge the views, and a box for each object."""
    rows: dict[int, list[View]] = {}
    for view in some.views:
        rows.setdefault(view.window // some.grid.columns, []).append(view)
    started = time.perf_counter()
    found = list(merge_views(some.grid, lambda _: True, sorted(rows.items())))
    seconds = time.perf_counter() - started
    boxes = [(p.x, p.y, p.x + p.w, p.y + p.h) for one in found for p in one.pieces]
    return seconds, np.array(boxes, np.float64)


def duplicates(truth: Boxes, found: Boxes) -> int:
    """How many boxes lie, by half of their area, in a true one that another lies in, too."""
    extra = 0
    order = np.argsort(found[:, 0])
    found = found[order]
    widest = (found[:, 2] - found[:, 0]).max(initial=0)
    for x0, y0, x1, y1 in truth:
        near = found[np.searchsorted(found[:, 0], x0 - widest) : np.searchsorted(found[:, 0], x1)]
        wide = np.minimum(near[:, 2], x1) - np.maximum(near[:, 0], x0)
        tall = np.minimum(near[:, 3], y1) - np.maximum(near[:, 1], y0)
        own = (near[:, 2] - near[:, 0]) * (near[:, 3] - near[:, 1])
        extra += max(0, int(((wide > 0) & (tall > 0) & (2 * wide * tall >= own)).sum()) - 1)
    return extra


def save(path: Path, some: Views) -> None:
    """The views as plain arrays, outlines in pixels of the scene, for a process of another interpreter."""
    rings = []
    for view in some.views:
        runs = view.runs
        polygons = native.rle_polygons((0, 0, runs.w, runs.h), runs.counts, 0.0)
        rings.append(max((polygon[0] for polygon in polygons), key=len) + np.array([runs.x, runs.y]))
    boxes = [(v.runs.x, v.runs.y, v.runs.x + v.runs.w, v.runs.y + v.runs.h) for v in some.views]
    np.savez(
        path,
        size=np.array([some.grid.width_px, some.grid.height_px]),
        overlap=np.array(OVERLAP_PX),
        grid=np.array([some.grid.box(number) for number in range(len(some.grid))]),
        windows=np.array([view.window for view in some.views]),
        boxes=np.array(boxes, np.float64),
        scores=np.array([view.score for view in some.views]),
        corners=np.array([len(ring) for ring in rings]),
        points=np.vstack(rings).astype(np.float64),
    )
