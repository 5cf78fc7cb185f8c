"""A judge of a scene's layer against the exact truth. It shares no code with the package.

Objects are matched in pixel edges of the scene, x right, y down; one is found at an IoU of 0.5.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from .scene_mosaics import Mosaic, Shapes
from .scene_read import Layer, Points, read
from .scene_seams import cuts, lines_of, twice

SMALL_PX = 64  # objects below are neither asked for nor counted against a layer
_ENOUGH = 12  # matched objects that a shift can be told from
MOST_SHIFT_PX, MOST_DRIFT_PX, MOST_AREA_ERROR, MOST_CUTS = 0.1, 0.5, 0.005, 0.02


class Check(NamedTuple):
    """Whether a layer is right in one respect, in words and in numbers."""

    ok: bool
    told: str
    numbers: dict[str, Any]


class Match(NamedTuple):
    """What was found of the truth: which pairs of shapes share pixels, and which of these are one thing."""

    found: Shapes
    truth: Shapes
    p: NDArray[np.intp]
    t: NDArray[np.intp]
    common: Points
    pairs: NDArray[np.intp]
    big: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    wrong: int

    @property
    def recall(self) -> float:
        """Of the objects that are large enough."""
        return float(self.hit[self.big].mean()) if self.big.any() else 1.0

    @property
    def precision(self) -> float:
        """Of what was found and is large enough."""
        return len(self.pairs) / max(1, len(self.pairs) + self.wrong)


def match(found: Shapes, truth: Shapes) -> Match:
    """Shapes in pixels matched greedily by IoU, each once."""
    p, t = shapely.STRtree(truth).query(found, predicate="intersects")
    common = shapely.area(shapely.intersection(found[p], truth[t]))
    areas, true_areas = shapely.area(found), shapely.area(truth)
    iou = common / (areas[p] + true_areas[t] - common)
    used_p, used_t, pairs = set(), set(), []
    for k in np.lexsort((t, p, -iou)):
        if iou[k] < 0.5:
            break
        if p[k] not in used_p and t[k] not in used_t:
            used_p.add(p[k])
            used_t.add(t[k])
            pairs.append(k)
    big, hit = true_areas >= SMALL_PX, np.zeros(len(truth), np.bool_)
    hit[list(used_t)] = True
    excused = set(p[(common > 0.5 * areas[p]) & ~big[t]])  # what lies on a small thing
    wrong = sum(k not in used_p and k not in excused and areas[k] >= SMALL_PX for k in range(len(found)))
    return Match(found, truth, p, t, common, np.array(pairs, np.intp), big, hit, wrong)


def judge(
    mosaic: Mosaic, path: Path, class_name: str, window: int, overlap: int, phrase: str | None = None
) -> dict[str, Check]:
    """Every check of the layer at `path`, of the objects of one phrase."""
    layer = read(path, mosaic, phrase=phrase)
    checks = {name: Check(not problem, problem or "ok", {}) for name, problem in layer.problems.items()}
    bad = int((~layer.valid).sum())
    checks["validity"] = Check(not bad, f"{bad} of {len(layer.valid)} are invalid, empty or no polygons", {"bad": bad})
    pixels = in_pixels(layer.shapes[[one is not None for one in layer.shapes]], mosaic.transform)
    checks["extent"] = _extent(mosaic, pixels)
    checks["area"] = _area(mosaic, layer)
    found = match(pixels if checks["extent"].ok else pixels[:0], mosaic.truth[class_name])
    seen = {"found": len(found.found), "truth": int(found.big.sum()), "matched": len(found.pairs)}
    checks["recall"] = Check(True, f"{found.recall:.3f} of {seen['truth']} objects", {**seen, "recall": found.recall})
    checks["precision"] = Check(True, f"{found.precision:.3f}", {"precision": found.precision})
    checks |= _registration(mosaic, found)
    same, over = twice(found.found, found.p, found.t, found.common, shapely.area(found.truth))
    numbers = {"found_twice": same, "on_top_of_each_other": over}
    checks["duplicates"] = Check(same + over == 0, f"{same} found twice, {over} pairs on top of each other", numbers)
    lines = lines_of((mosaic.width_px, mosaic.height_px), window, overlap)
    pieces, ends = cuts(found.found, found.truth, found.p, found.t, found.common, lines)
    right = pieces + ends <= MOST_CUTS * len(found.truth)
    told = f"{pieces} pairs of pieces along a line, {ends} end at a window's border, of {len(found.truth)}"
    checks["cuts"] = Check(right, told, {"pieces": pieces, "ends": ends})
    checks["seams"] = _seams(found, lines)
    return checks


def in_pixels(there: Shapes, transform: Affine) -> Shapes:
    """Shapes of the scene's CRS in pixels, parts that the antimeridian cut made one again."""
    found = shapely.transform(shapely.make_valid(there), lambda points: _apply(~transform, points))
    many = shapely.get_num_geometries(found) > 1
    if many.any():
        found[many] = shapely.union_all(shapely.set_precision(found[many], 1e-3)[:, None], axis=1)
    return np.asarray(found, object)


def _apply(affine: Affine, points: Points) -> Points:
    return np.column_stack(affine @ points.T)


def _extent(mosaic: Mosaic, pixels: Shapes) -> Check:
    points = shapely.get_coordinates(pixels)
    inside = ((points >= -1) & (points <= [mosaic.width_px + 1, mosaic.height_px + 1])).all(axis=1)
    share = float(inside.mean()) if len(points) else 0.0
    return Check(share > 0.99, f"{share:.1%} of positions lie in the scene", {"share": share})


def _area(mosaic: Mosaic, layer: Layer) -> Check:
    if layer.areas_m2 is None:
        return Check(False, "area_m2 is missing", {})
    crs = pyproj.CRS(mosaic.crs)
    base, geod = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True), crs.get_geod()
    assert geod is not None

    def turn(points: Points) -> Points:  # longitudes stay together where they pass 180 degrees
        x, y = base.transform(points[:, 0], points[:, 1])
        return np.column_stack([x[0] + (x - x[0] + 180) % 360 - 180, y])

    there = [shapely.orient_polygons(shapely.transform(one, turn)) for one in layer.shapes[layer.valid]]
    right = np.array([abs(geod.geometry_area_perimeter(one)[0]) for one in there])
    error = float(np.abs(np.asarray(layer.areas_m2, np.float64)[layer.valid] / right - 1).max(initial=0))
    return Check(error < MOST_AREA_ERROR, f"area_m2 is off by up to {error:.2%}", {"error": error})


def _registration(mosaic: Mosaic, found: Match) -> dict[str, Check]:
    """The Hodges-Lehmann shift of matched centroids with its 95 % margin, and its drift across the scene."""
    k = found.pairs[found.big[found.t[found.pairs]]]
    if len(k) < _ENOUGH:
        return {"registration": Check(False, f"only {len(k)} matched objects: too few to tell", {"matched": len(k)})}
    centres = shapely.get_coordinates(shapely.centroid(found.truth[found.t[k]]))
    off = shapely.get_coordinates(shapely.centroid(found.found[found.p[k]])) - centres
    some = off[:: -(-len(off) // 800)]
    shift = np.median(((some[:, None] + some) / 2)[np.triu_indices(len(some))], axis=0)
    spread = 1.4826 * np.median(abs(off - np.median(off, axis=0)), axis=0)
    margin = 2.0 * spread / math.sqrt(len(some))
    right = bool((abs(shift) - margin <= MOST_SHIFT_PX).all() and (margin <= 0.3).all())
    told = f"{shift[0]:+.3f}, {shift[1]:+.3f} px, +- {margin[0]:.3f}, {margin[1]:.3f} ({len(k)} objects)"
    numbers = {"shift_px": shift.tolist(), "margin_px": margin.tolist(), "matched": len(k)}
    good = (abs(off - shift) < 4 * spread + 0.05).all(axis=1)
    where = np.column_stack([np.ones(good.sum()), centres[good] / [mosaic.width_px, mosaic.height_px] - 0.5])
    fit = np.linalg.lstsq(where, off[good], rcond=None)[0]
    error = np.sqrt(np.diag(np.linalg.pinv(where.T @ where)))[:, None] * (off[good] - where @ fit).std(0)
    drift = abs(fit[1:])
    steady = bool((drift - 3 * error[1:] <= MOST_DRIFT_PX).all())
    return {
        "registration": Check(right, told, numbers),
        "drift": Check(steady, f"{drift.max():.2f} px across the scene", {"drift_px": float(drift.max())}),
    }


def _seams(found: Match, lines: tuple[Points, Points]) -> Check:
    """Objects that meet a window's border or core have to be found as often as others."""
    box = shapely.bounds(found.truth).reshape(-1, 4)
    meets = [(box[:, axis] < line) & (box[:, axis + 2] > line) for axis in (0, 1) for line in lines[axis]]
    there = np.logical_or.reduce(meets)
    near, far = found.hit[found.big & there], found.hit[found.big & ~there]
    if min(len(near), len(far)) < 8:
        return Check(True, "too few objects to tell", {})
    gap, both = far.mean() - near.mean(), found.hit[found.big].mean()
    error = math.sqrt(max(both * (1 - both), 1e-4) * (1 / len(near) + 1 / len(far)))
    told = f"recall {near.mean():.3f} at borders of windows ({len(near)}), {far.mean():.3f} elsewhere ({len(far)})"
    numbers = {"near": float(near.mean()), "elsewhere": float(far.mean())}
    return Check(not (gap > 0.05 and gap > 2.5 * error), told, numbers)
