"""What every writer of layers takes: features in pixels of the scene, and the scene they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...json_text import finite
from ...kernels.native import native
from ...rasters.extra import load_shapely
from ...rasters.place import Place, densified
from ...rasters.region_place import RegionPlace

Ring = NDArray[Any]  # (n + 1, 2) x, y in pixel edges, closed
Polygons = list[list[Ring]]  # an outline and its holes each, oriented as those of `Mask.polygons`
Piece = tuple[int, int, int, int, NDArray[np.uint32]]  # x, y, w, h and counts, as a crop-RLE with pixels of the scene

FIELDS = {  # name -> (dtype of the column, None where numbers may be unknown); the order of columns
    "id": np.int64,
    "phrase": object,
    "score": np.float64,
    "area_m2": np.float64,
    "area_px": np.int64,
    "lon": np.float64,
    "lat": np.float64,
    "width_m": np.float64,
    "length_m": np.float64,
    "whole": np.bool_,
    "views": np.int32,
    "scope": object,
}


@dataclass(frozen=True, eq=False)
class SceneObject:
    """What is known of one object: its pixels in the scene, exact, in disjoint `pieces`, and where it is.

    `score` is the best estimate of its mask's IoU, `whole` whether a window saw it uncut, `views` how often it was
    seen.
    """

    id: int
    phrase: str
    score: float
    area_px: int
    whole: bool
    views: int
    place: RegionPlace | None
    pieces: tuple[Piece, ...] = field(repr=False)

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels of the scene."""
        left, top = min(x for x, *_ in self.pieces), min(y for _, y, *_ in self.pieces)
        right, bottom = max(x + w for x, _, w, *_ in self.pieces), max(y + h for _, y, _, h, _ in self.pieces)
        return left, top, right - left, bottom - top

    def mask(self) -> NDArray[np.bool_]:
        """bool (height, width): its pixels within `bbox`."""
        left, top, width, height = self.bbox
        out = np.zeros((height, width), np.bool_)
        for x, y, w, h, counts in self.pieces:
            shown = native.rle_window((0, 0, w, h), counts, (0, 0, w, h))
            out[y - top : y - top + h, x - left : x - left + w] |= shown
        return out


@dataclass(frozen=True, eq=False)
class Feature:
    """A thing as layers hold it. `scope` is "scene", or "window" where each window chose for itself."""

    thing: SceneObject
    scope: str
    polygons: Polygons = field(repr=False)

    def values(self) -> dict[str, Any]:
        """Its attributes by name; None for what is not known."""
        thing, place = self.thing, self.thing.place
        lon, lat = (place.centroid if place is not None else None) or (None, None)
        return {
            "id": thing.id,
            "phrase": thing.phrase,
            "score": finite(thing.score),
            "area_m2": None if place is None else place.area_m2,
            "area_px": thing.area_px,
            "lon": lon,
            "lat": lat,
            "width_m": None if place is None else place.width_m,
            "length_m": None if place is None else place.length_m,
            "whole": thing.whole,
            "views": thing.views,
            "scope": self.scope,
        }


@dataclass(frozen=True)
class WindowFeature:
    """One window: its box in pixels, its state, and what was said of it."""

    index: int
    box: tuple[int, int, int, int]
    state: str
    seconds: float
    text: str
    note: str


@dataclass(frozen=True)
class Layer:
    """What a layer is about: the scene's place, the phrases in the order of their classes, and the record.

    `started` is the job's beginning, seconds since 1970: files carry it as their time. `record` is plain values.
    """

    path: Path
    size_px: tuple[int, int]
    place: Place
    phrases: tuple[str, ...]
    started: int
    record: dict[str, Any]


class LayerWriter(Protocol):
    """A file that is made: features in chunks, then what is known at the end."""

    def add(self, features: Sequence[Feature]) -> None:
        """The next features, by id."""

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """Everything is there: complete the file. OutputError, as `add`, where it cannot be written."""


def outlines(pieces: Sequence[Piece], tolerance_px: float) -> Polygons:
    """The polygons of an object's pieces, exact or simplified; those of several pieces are joined."""
    found: Polygons = []
    for x, y, w, h, counts in pieces:
        offset = np.array([x, y], np.int64)
        parts = native.rle_polygons((0, 0, w, h), counts, tolerance_px)
        found += [[ring + offset for ring in polygon] for polygon in parts]
    return found if len(pieces) == 1 else _joined(found)


def _joined(polygons: Polygons) -> Polygons:
    """Polygons that touch along edges, as one; outlines run counter-clockwise for y upwards."""
    shapely = load_shapely()
    whole = shapely.union_all(
        [
            shapely.polygons(rings[0], holes=[shapely.linearrings(ring) for ring in rings[1:]] or None)
            for rings in polygons
        ]
    )
    whole = shapely.orient_polygons(shapely.simplify(whole, 0))
    return [
        [shapely.get_coordinates(ring) for ring in (one.exterior, *one.interiors)] for one in shapely.get_parts(whole)
    ]


def to_wkb(place: Place, polygons: Polygons) -> bytes:
    """A MultiPolygon in the scene's CRS, outlines counter-clockwise there; in pixels where it has none.

    Where the map is no straight one, edges have a vertex at least every 16 px.
    """
    shapely = load_shapely()
    bent, turned = place.has_crs and place.georeferencing != "affine", place.has_crs and place.clockwise
    made = []
    for polygon in polygons:
        rings = [densified(ring) if bent else np.asarray(ring, np.float64) for ring in polygon]
        rings = [place.to_crs(ring) if place.has_crs else ring for ring in rings]
        rings = [ring[::-1] for ring in rings] if turned else rings
        made.append(shapely.polygons(rings[0], holes=[shapely.linearrings(ring) for ring in rings[1:]] or None))
    data: bytes = shapely.to_wkb(shapely.multipolygons(made))
    return data


def box_polygons(box: tuple[int, int, int, int]) -> Polygons:
    """A box as polygons."""
    x, y, w, h = box
    return [[np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]], np.float64)]]


def columns(rows: Sequence[dict[str, Any]], fields: dict[str, Any]) -> tuple[list[NDArray[Any]], list[Any]]:
    """Values of rows as arrays, and for each a mask of those that are not known, None where all are."""
    data, unknown = [], []
    for name, dtype in fields.items():
        values = [row[name] for row in rows]
        missing = np.array([value is None for value in values], np.bool_)
        fill = "" if dtype is object else 0
        data.append(np.array([fill if value is None else value for value in values], dtype))
        unknown.append(missing if missing.any() else None)
    return data, unknown
