"""The place of a picture that its user knows: bounds, or six numbers, in a CRS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import OptionError
from .crs import crs_of, horizontal_wkt
from .pixel_map import Affine
from .place import Place, make_place


class GivenPlace(msgspec.Struct, frozen=True):
    """`bounds` (west, south, east, north) or `transform` (a, b, c, d, e, f: x' = a x + b y + c), in `crs`."""

    crs: str
    bounds: tuple[float, float, float, float] | None = None
    transform: tuple[float, float, float, float, float, float] | None = None

    def place(self, size_px: tuple[int, int]) -> Place:
        """The place of a picture of `size_px` (width, height): its outer edges lie on the bounds."""
        what = "crs=" if self.bounds is None else "bounds="
        numbers = self.transform or _transform_of(self._bounds(), size_px)
        return make_place(size_px, Affine(*numbers), self.crs, f"the place given ({what[:-1]})")

    def _bounds(self) -> tuple[float, float, float, float]:
        assert self.bounds is not None
        west, south, east, north = self.bounds
        crs = crs_of(horizontal_wkt(self.crs))
        if crs.is_geographic:
            turn = 360 * math.radians(1) / crs.axis_info[0].unit_conversion_factor
            if max(abs(south), abs(north)) > turn / 4:
                raise OptionError(
                    f"bounds={self.bounds}: a latitude is over 90 degrees; the order is west, south, east, north"
                )
            east += turn if east < west else 0.0  # across the antimeridian
        if not west < east or not south < north:
            raise OptionError(f"bounds={self.bounds}: give west < east and south < north, in the CRS's units")
        return west, south, east, north


def given_place(bounds: Any = None, crs: Any = None, transform: Any = None) -> GivenPlace | None:
    """What a user says of a picture's place, checked; None where nothing is said.

    OptionError for numbers that are none, for both forms at once and for a missing CRS; GeoReferenceError for a CRS
    that is none.
    """
    if bounds is None and transform is None:
        if crs is not None:
            raise OptionError(f"crs={crs!r} places nothing alone; give bounds= or transform= with it")
        return None
    if bounds is not None and transform is not None:
        raise OptionError("bounds= and transform= both place the image; give one of them")
    if crs is None:
        raise OptionError("crs= is missing: say what the numbers are in, as crs='EPSG:4326' for longitude and latitude")
    text = crs.to_wkt() if hasattr(crs, "to_wkt") else f"EPSG:{crs}" if isinstance(crs, int) else crs
    if not isinstance(text, str):
        raise OptionError(f"crs={crs!r}: give a code such as 'EPSG:32640', or WKT")
    horizontal_wkt(text)
    if bounds is not None:
        west, south, east, north = _numbers(bounds, "bounds", 4)
        return GivenPlace(text, bounds=(west, south, east, north))
    a, b, c, d, e, f = _numbers(transform, "transform", 6)
    return GivenPlace(text, transform=(a, b, c, d, e, f))


def _numbers(values: Any, name: str, count: int) -> Sequence[float]:
    """So many finite numbers; of a `rasterio.Affine`, which has nine, the first six."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        found = []
    if name == "transform" and len(found) == 9 and found[6:] == [0.0, 0.0, 1.0]:
        found = found[:6]
    if len(found) != count or not all(map(math.isfinite, found)) or isinstance(values, (str, bytes)):
        order = "west, south, east, north" if name == "bounds" else "a, b, c, d, e, f of x' = a x + b y + c"
        raise OptionError(f"{name}={values!r}: give {count} finite numbers, {order}")
    return found


def _transform_of(
    bounds: tuple[float, float, float, float], size_px: tuple[int, int]
) -> tuple[float, float, float, float, float, float]:
    west, south, east, north = bounds
    width_px, height_px = size_px
    return (east - west) / width_px, 0.0, west, 0.0, (south - north) / height_px, north
