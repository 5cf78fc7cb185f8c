"""From pixel edges to coordinates of a CRS: by six numbers, by ground control points, or by rational polynomials."""

from __future__ import annotations

import atexit
import functools
import math
import threading
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import GeoReferenceError, ImageError
from .gdal import gdal

Points = NDArray[np.float64]  # (n, 2): x, y
Number = float

# Thin-plate splines cost the cube of their points; beyond these a polynomial is fitted.
MAX_SPLINE_GCPS = 500
MIN_GCPS = 3


class Affine(msgspec.Struct, frozen=True, tag="affine", tag_field="kind"):
    """x' = a x + b y + c, y' = d x + e y + f, in the order of `rasterio.Affine`."""

    a: Number
    b: Number
    c: Number
    d: Number
    e: Number
    f: Number

    @property
    def determinant(self) -> float:
        """Negative for the usual north-up picture, whose y points down."""
        return self.a * self.e - self.b * self.d

    def to_crs(self, points: Points) -> Points:
        """Coordinates of pixel edges (n, 2)."""
        x, y = points[:, 0], points[:, 1]
        return np.column_stack([self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f])


class Gcps(msgspec.Struct, frozen=True, tag="gcps", tag_field="kind"):
    """Ground control points, each column and row in pixel edges, and x, y in the CRS."""

    points: tuple[tuple[Number, Number, Number, Number], ...]

    def to_crs(self, points: Points) -> Points:
        """Coordinates of pixel edges (n, 2): a thin-plate spline up to `MAX_SPLINE_GCPS` points, else a polynomial."""
        return _by_rasterio(self, points)

    def residual_px(self) -> float | None:
        """Root mean square of the misfit at the points, in pixels; None where it has no measure."""
        known = np.array(self.points, dtype=np.float64)
        off = self.to_crs(known[:, :2]) - known[:, 2:]
        size = math.sqrt(abs(jacobian(self, *known[:, :2].mean(axis=0))))
        return float(np.sqrt((off**2).sum(axis=1).mean()) / size) if size > 0 else None


class Rpc(msgspec.Struct, frozen=True, tag="rpc", tag_field="kind"):
    """Rational polynomials to longitude and latitude in WGS84, on ground at `height_m` or of a height model."""

    err_bias: Number | None
    err_rand: Number | None
    height_off: Number
    height_scale: Number
    lat_off: Number
    lat_scale: Number
    line_den_coeff: tuple[Number, ...]
    line_num_coeff: tuple[Number, ...]
    line_off: Number
    line_scale: Number
    long_off: Number
    long_scale: Number
    samp_den_coeff: tuple[Number, ...]
    samp_num_coeff: tuple[Number, ...]
    samp_off: Number
    samp_scale: Number
    height_m: Number
    dem: str | None = None

    def to_crs(self, points: Points) -> Points:
        """Longitudes and latitudes of pixel edges (n, 2), degrees."""
        return _by_rasterio(self, points)


PixelMap = Affine | Gcps | Rpc


def jacobian(pixel_map: PixelMap, x: float, y: float) -> float:
    """The determinant of the map at a pixel edge: area in CRS units per pixel, negative where it mirrors."""
    if isinstance(pixel_map, Affine):
        return pixel_map.determinant
    west, east, north, south = pixel_map.to_crs(
        np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]], dtype=np.float64)
    )
    (a, d), (b, e) = east - west, south - north
    return float(a * e - b * d)


def check(pixel_map: PixelMap, what: str) -> None:
    """Raise GeoReferenceError, which begins with `what`, for a map that places nothing."""
    if isinstance(pixel_map, Affine):
        numbers = msgspec.structs.astuple(pixel_map)
        if not all(math.isfinite(value) for value in numbers):
            raise GeoReferenceError(f"{what}: transform {numbers} has numbers that are not finite; correct it")
        if pixel_map.determinant == 0:
            raise GeoReferenceError(
                f"{what}: transform {numbers} is singular, it lays the picture on a line; correct it"
            )
    elif isinstance(pixel_map, Gcps):
        places = {(x, y) for x, y, _, _ in pixel_map.points}
        if len(places) < MIN_GCPS:
            raise GeoReferenceError(f"{what} has {len(places)} ground control points; at least {MIN_GCPS} are needed")
        if not np.isfinite(np.array(pixel_map.points, dtype=np.float64)).all():
            raise GeoReferenceError(f"{what}: a ground control point is not finite; correct it")
        if np.linalg.matrix_rank(np.array([(x, y, 1.0) for x, y in places])) < 3:
            raise GeoReferenceError(f"{what}: its ground control points lie on one line; spread them over the picture")


def _by_rasterio(pixel_map: Gcps | Rpc, points: Points) -> Points:
    if not len(points):
        return np.empty((0, 2), np.float64)
    try:
        with gdal("the image's place"):
            way = _transformer(pixel_map, threading.get_ident())
            x, y = way.xy(points[:, 1], points[:, 0], offset="ul")  # its corner "ul" of a pixel is the edge itself
    except ImageError:  # nothing of these points is mapped
        return np.full(points.shape, np.nan)
    out = np.column_stack([np.atleast_1d(x), np.atleast_1d(y)]).astype(np.float64, copy=False)
    out[~np.isfinite(out).all(axis=1)] = np.nan
    return out


@functools.lru_cache(maxsize=16)
def _transformer(pixel_map: Gcps | Rpc, thread: int) -> Any:
    """rasterio's transformer of a map; GDAL's handles are one thread's."""
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC
    from rasterio.transform import GCPTransformer, RPCTransformer

    if isinstance(pixel_map, Gcps):
        points = [GroundControlPoint(row=y, col=x, x=east, y=north) for x, y, east, north in pixel_map.points]
        return GCPTransformer(points, tps=len(points) <= MAX_SPLINE_GCPS)
    numbers = msgspec.structs.asdict(pixel_map)
    height_m, dem = numbers.pop("height_m"), numbers.pop("dem")
    return RPCTransformer(RPC(**numbers), **({"rpc_dem": dem} if dem else {"rpc_height": height_m}))


atexit.register(_transformer.cache_clear)  # GDAL's handles are freed while there is a GDAL
