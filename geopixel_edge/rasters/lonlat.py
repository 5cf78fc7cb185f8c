"""Outlines in longitude and latitude as RFC 7946 wants them: oriented, and cut at the antimeridian."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .extra import load_shapely
from .place import Place, Points, Rings, densified, signed_area

LonLatBox = tuple[float, float, float, float]
LonLatPolygon = list[Points]  # its outline counter-clockwise, its holes clockwise, each closed


def unwrapped(ring: Points) -> Points:
    """A ring of longitudes and latitudes without jumps: longitudes go on past 180, a ring around a pole goes over it.

    A ring whose longitudes end a full turn from where they began is closed along the pole, on the side of its
    greater latitude, so that it encloses it.
    """
    out = ring.copy()
    steps = np.diff(ring[:, 0])
    turns = -np.round(steps / 360)
    out[1:, 0] += 360 * np.cumsum(turns)
    turn = out[-1, 0] - out[0, 0]
    if abs(turn) > 180:
        pole = np.copysign(90.0, out[np.abs(out[:, 1]).argmax(), 1])
        out = np.vstack([out, [[out[-1, 0], pole], [out[0, 0], pole]], out[:1]])
    return out


def bounds(rings: Sequence[Points]) -> LonLatBox | None:
    """West, south, east, north of unwrapped outlines; west > east across the antimeridian. None where NaN.

    The box is the narrowest that holds all of them.
    """
    points = np.vstack(rings)
    if not np.isfinite(points).all():
        return None
    south, north = points[:, 1].min(), points[:, 1].max()
    spans = sorted(((ring[:, 0].min() + 180) % 360 - 180, np.ptp(ring[:, 0])) for ring in rings)
    west, east = _around(spans)
    return float(west), float(south), float(east), float(north)


def _around(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The narrowest arc, west and east in -180..180, that holds all arcs (start, width), sorted by start."""
    if max(width for _, width in spans) >= 360:
        return -180.0, 180.0
    gaps = []
    reach = max(start + width - 360 for start, width in spans)  # what arcs past 180 cover of the beginning
    for start, width in spans:
        gaps.append((start - reach, start, reach))
        reach = max(reach, start + width)
    widest, west, east = max(gaps)
    if widest <= 0:
        return -180.0, 180.0
    return west, east if east >= -180 else east + 360


def lonlat_polygons(place: Place, polygons: Iterable[Rings], decimals: int) -> list[LonLatPolygon] | None:
    """Polygons in pixel edges, as `Mask.polygons` gives them, in longitudes and latitudes of so many decimals.

    Straight edges have a vertex at least every 16 px. What crosses the antimeridian is cut into several polygons.
    None where the CRS does not reach all of them. GeoReferenceError where there is no longitude and latitude.
    """
    found: list[LonLatPolygon] = []
    for polygon in polygons:
        rings = [place.to_lonlat(densified(ring)) for ring in polygon]
        if not all(np.isfinite(ring).all() for ring in rings):
            return None
        found += _cut([_beside(unwrapped(ring), rings[0]) for ring in rings])
    return [[_rounded(ring, decimals, index > 0) for index, ring in enumerate(polygon)] for polygon in found]


def _beside(ring: Points, outline: Points) -> Points:
    """A hole, turned by whole circles to lie with the outline that holds it."""
    return ring - np.array([360 * np.round((ring[0, 0] - outline[0, 0]) / 360), 0.0])


def _cut(rings: list[Points]) -> list[LonLatPolygon]:
    """A polygon, unwrapped, in pieces that each lie within -180..180."""
    west, east = rings[0][:, 0].min(), rings[0][:, 0].max()
    if west >= -180 and east <= 180:
        return [rings]
    shapely = load_shapely()
    whole = shapely.make_valid(shapely.Polygon(rings[0], rings[1:]))
    pieces: list[LonLatPolygon] = []
    for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
        part = shapely.intersection(whole, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        for piece in shapely.get_parts(shapely.get_parts(part)):  # a collection may hold a multi-polygon
            if piece.geom_type == "Polygon" and piece.area > 0:
                outlines = [shapely.get_coordinates(ring) for ring in (piece.exterior, *piece.interiors)]
                pieces.append([ring - np.array([360.0 * turn, 0.0]) for ring in outlines])
    return pieces


def _rounded(ring: Points, decimals: int, hole: bool) -> Points:
    """Counter-clockwise, or clockwise for a hole; numbers as they are written, none twice in a row."""
    if (signed_area(ring) < 0) != hole:
        ring = ring[::-1]
    ring = np.round(ring, decimals) + 0.0  # no negative zero
    keep = np.ones(len(ring), np.bool_)
    keep[1:] = (np.diff(ring, axis=0) != 0).any(axis=1)
    thinned = ring[keep]
    return thinned if len(thinned) >= 4 else ring


def decimals_for(place: Place) -> int:
    """7 decimals are a centimetre; 9 below a resolution of 0.1 m."""
    gsd = place.gsd_m
    return 9 if gsd is not None and min(gsd) < 0.1 else 7
