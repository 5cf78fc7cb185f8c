"""Where one region of an image is: its box, centre, size and length on the ground."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from .extra import load_shapely
from .lonlat import bounds, unwrapped
from .place import Place, Points, Rings, densified

LonLatBox = tuple[float, float, float, float]


class RegionPlace(msgspec.Struct, frozen=True):
    """`lonlat_bbox`: west, south, east, north in WGS84 degrees, west > east across the antimeridian; `centroid`:
    longitude, latitude. `area_m2` is geodesic; `length_m` and `width_m` are the sides of the smallest rectangle around
    the region. `crs_bbox`: least x, least y, greatest x, greatest y in the CRS, and `area_crs` in its units squared.

    None: what the image's CRS cannot tell. `approximate` where control points or polynomials place the image.
    """

    lonlat_bbox: LonLatBox | None
    centroid: tuple[float, float] | None
    area_m2: float | None
    length_m: float | None
    width_m: float | None
    crs_bbox: LonLatBox | None
    area_crs: float | None
    approximate: bool


def region_place(place: Place, polygons: Sequence[Rings]) -> RegionPlace | None:
    """Where polygons in pixel edges, as `Mask.polygons` gives them, are; None without a CRS or without polygons."""
    if not place.has_crs or not polygons:
        return None
    rings = [densified(ring) for polygon in polygons for ring in polygon]
    crs = np.vstack([place.to_crs(ring) for ring in rings])
    crs_box = (*crs.min(axis=0).tolist(), *crs.max(axis=0).tolist()) if np.isfinite(crs).all() else None
    size = place.geodesic(polygons)
    length = width = box = centre = None
    if size is not None:
        length, width = _sides_m(place, polygons)
        box = bounds([unwrapped(place.to_lonlat(densified(polygon[0]))) for polygon in polygons])
        centre = _finite(place.to_lonlat([_centroid_px(polygons)])[0].tolist())
    return RegionPlace(
        lonlat_bbox=box,
        centroid=centre,
        area_m2=None if size is None else size.area_m2,
        length_m=length,
        width_m=width,
        crs_bbox=crs_box,
        area_crs=place.area_crs(polygons),
        approximate=place.approximate,
    )


def _finite(point: Sequence[float]) -> tuple[float, float] | None:
    return (point[0], point[1]) if all(map(math.isfinite, point)) else None


def _centroid_px(polygons: Sequence[Rings]) -> tuple[float, float]:
    """The centre of gravity of polygons, holes left out."""
    total = x_sum = y_sum = 0.0
    for polygon in polygons:
        for index, ring in enumerate(polygon):
            (x, y), origin = np.asarray(ring, dtype=np.float64).T, np.asarray(ring[0], dtype=np.float64)
            x, y = x - origin[0], y - origin[1]
            cross = x[:-1] * y[1:] - x[1:] * y[:-1]
            area = cross.sum() / 2
            sign = math.copysign(1.0, area) * (1 if index == 0 else -1)
            total += sign * area
            x_sum += sign * (((x[:-1] + x[1:]) * cross).sum() / 6 + area * origin[0])
            y_sum += sign * (((y[:-1] + y[1:]) * cross).sum() / 6 + area * origin[1])
    return x_sum / total, y_sum / total


def _sides_m(place: Place, polygons: Sequence[Rings]) -> tuple[float, float]:
    """The longer and the shorter side of the smallest rectangle, on the plane of distances from its middle."""
    shapely = load_shapely()
    from .crs import geod

    assert place.wkt is not None
    outlines = np.vstack([place.to_geodetic(densified(polygon[0])) for polygon in polygons])
    flat = _flattened(geod(place.wkt), outlines)
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapely.multipoints(flat)))
    sides = np.hypot(*np.diff(corners[:3], axis=0).T)
    return float(sides.max()), float(sides.min())


def _flattened(geod: object, degrees: Points) -> Points:
    """Metres east and north of the first point, by distance and azimuth on the ellipsoid."""
    start = np.broadcast_to(degrees[0], degrees.shape)
    azimuth, _, metres = geod.inv(start[:, 0], start[:, 1], degrees[:, 0], degrees[:, 1])  # type: ignore[attr-defined]
    radians = np.radians(azimuth)
    return np.column_stack([metres * np.sin(radians), metres * np.cos(radians)])
