"""Coordinate reference systems: read from text, reduced to their horizontal part, and led to degrees.

Between libraries they travel as WKT2 strings alone: each wheel brings a PROJ of its own. The one factory of
transformers is here, so that x is east (or longitude) everywhere.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GeoReferenceError
from .extra import load_pyproj

Points = NDArray[np.float64]  # (n, 2): x, y

WGS84 = "EPSG:4326"
MAX_CRS_CHARS = 65_536
# No text of a CRS has one, but for WKT's line breaks and tabs; PROJ would read as far as the first NUL.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Operation:
    """How coordinates get to WGS84: PROJ's name for it, and its accuracy in metres, None where unknown."""

    name: str
    accuracy_m: float | None

    @property
    def ballpark(self) -> bool:
        """Whether the shift between the datums is unknown and left out."""
        return "allpark" in self.name


@functools.lru_cache(maxsize=64)
def crs_of(text: str) -> Any:
    """The `pyproj.CRS` of an authority code, WKT, PROJJSON or PROJ string; GeoReferenceError for other text."""
    pyproj = load_pyproj()
    shown = text if len(text) <= 60 else text[:57] + "..."
    remedy = f"crs={shown!r} is no coordinate reference system; give a code such as 'EPSG:32640', or WKT"
    if not text.strip() or len(text) > MAX_CRS_CHARS or _CONTROLS.search(text):
        raise GeoReferenceError(remedy)
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError:
        raise GeoReferenceError(remedy) from None


def horizontal_wkt(text: str) -> str:
    """WKT2 of the horizontal part of a CRS. Raises as `crs_of`, and for one that has no horizontal part."""
    crs = crs_of(text).to_2d()
    if crs.is_vertical or crs.is_geocentric:
        raise GeoReferenceError(f"crs={crs.name!r} has no horizontal coordinates; give a projected or geographic one")
    return str(crs.to_wkt("WKT2_2019"))


@functools.lru_cache(maxsize=64)
def wkt_of(crs: Any) -> str | None:
    """WKT2 of a rasterio CRS; None where there is no text of it that pyproj reads."""
    for version in ("WKT2_2019", None):
        try:
            text = str(crs.to_wkt(version=version) if version else crs.to_wkt())
            horizontal_wkt(text)
            return text
        except (GeoReferenceError, ValueError):  # rasterio's CRSError is a ValueError
            continue
    return None


def crs_name(wkt: str) -> str:
    """Its authority code where it has one, as "EPSG:32640", else its name."""
    crs = crs_of(wkt)
    found = crs.to_authority(min_confidence=100)
    return ":".join(found) if found else str(crs.name)


@functools.lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Any:
    """The one factory of `pyproj.Transformer`s: x, y (or longitude, latitude) in both CRSs, no network.

    GeoReferenceError where PROJ knows no way between them.
    """
    pyproj = load_pyproj()
    try:
        return pyproj.Transformer.from_crs(crs_of(source), crs_of(target), always_xy=True)
    except pyproj.exceptions.ProjError:
        raise GeoReferenceError(
            f"crs={crs_of(source).name!r} has no known relation to {crs_of(target).name!r}; coordinates stay in it"
        ) from None


def unplaced(wkt: str) -> str | None:
    """Why coordinates of this CRS have no longitude and latitude; None where they have."""
    try:
        transformer(wkt, WGS84)
        geodetic_crs(wkt)
    except GeoReferenceError:
        return f"its CRS {crs_of(wkt).name!r} has no known relation to the Earth"
    return None


def to_lonlat(wkt: str, points: Points) -> Points:
    """Longitudes in -180..180 and latitudes in WGS84, degrees, of points of a CRS; NaN where it does not reach."""
    out = transformed(transformer(wkt, WGS84), points)
    past = np.abs(out[:, 0]) > 180  # a geographic CRS may go on past the antimeridian
    out[past, 0] = (out[past, 0] + 180) % 360 - 180
    return out


def from_lonlat(wkt: str, points: Points) -> Points:
    """Points of a CRS from WGS84 longitudes and latitudes, degrees; NaN where the CRS does not reach."""
    return transformed(transformer(WGS84, wkt), points)


def transformed(way: Any, points: Points) -> Points:
    """Points (n, 2) through a transformer; NaN, both coordinates, where it has no result."""
    x, y = way.transform(points[:, 0], points[:, 1], errcheck=False)
    out = np.column_stack([x, y]).astype(np.float64, copy=False)
    out[~np.isfinite(out).all(axis=1)] = np.nan
    return out


def operation(wkt: str, point: tuple[float, float]) -> Operation:
    """How `to_lonlat` gets to WGS84 at a point of the CRS."""
    way = transformer(wkt, WGS84)
    way.transform(*point)
    pyproj = load_pyproj()
    try:
        used = way.get_last_used_operation()
    except pyproj.exceptions.ProjError:  # there is one way only
        used = way
    accuracy = float(used.accuracy)
    return Operation(str(used.description), accuracy if accuracy >= 0 else None)


# --- On the ellipsoid of the CRS itself -------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def geodetic_crs(wkt: str) -> str:
    """WKT2 of the geographic CRS that a CRS is built on; no datum is shifted between the two."""
    crs = crs_of(wkt)
    base = crs.geodetic_crs
    if base is None or base.ellipsoid is None:
        raise GeoReferenceError(f"crs={crs.name!r} is built on no ellipsoid; give a projected or geographic one")
    return str(base.to_2d().to_wkt("WKT2_2019"))


@functools.lru_cache(maxsize=64)
def geod(wkt: str) -> Any:
    """The `pyproj.Geod` of the CRS's ellipsoid."""
    return crs_of(geodetic_crs(wkt)).get_geod()


def to_geodetic(wkt: str, points: Points) -> Points:
    """Longitudes and latitudes on the CRS's own datum, degrees whatever its unit; NaN where it does not reach."""
    base = geodetic_crs(wkt)
    out = transformed(transformer(wkt, base), points)
    return out * math.degrees(crs_of(base).axis_info[0].unit_conversion_factor)
