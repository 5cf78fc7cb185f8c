"""Where a raster is: a map from its pixel edges to a CRS, what that CRS means, and sizes on the ground."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GeoReferenceError
from . import crs as systems
from .pixel_map import Affine, Gcps, PixelMap, Rpc, check, jacobian

Points = NDArray[np.float64]  # (n, 2): x, y
Rings = Sequence[NDArray[Any]]  # one polygon: its outline, then its holes, each closed, in pixel edges
# Straight edges of the picture are curves on the ground: an outline has a vertex at least every so many pixels.
STEP_PX = 16.0


@dataclass(frozen=True)
class Geodesic:
    """A size on the ellipsoid of the CRS, in square metres and metres; the perimeter counts holes too."""

    area_m2: float
    perimeter_m: float


class Place(msgspec.Struct, frozen=True):
    """Where a raster of `size_px` (width, height) is. Plain values: it can be pickled, hashed and written as JSON.

    `map` leads from pixel edges (x right, y down, pixel (0, 0) spans 0..1) to the CRS; None where there is none.
    `wkt` is the CRS's horizontal part as WKT2, `source_wkt` the whole where it has more, a height. `reason` says why
    there is no longitude and latitude, None where there is. `residual_px` is what control points miss the map by.
    A map without a CRS needs no library; everything that asks what a CRS means needs the extra `geo`.
    """

    size_px: tuple[int, int]
    map: PixelMap | None = None
    wkt: str | None = None
    source_wkt: str | None = None
    reason: str | None = None
    residual_px: float | None = None

    @property
    def georeferencing(self) -> Literal["affine", "gcps", "rpc"] | None:
        """The kind of the map."""
        kinds: dict[type, Literal["affine", "gcps", "rpc"]] = {Affine: "affine", Gcps: "gcps", Rpc: "rpc"}
        return None if self.map is None else kinds[type(self.map)]

    @property
    def approximate(self) -> bool:
        """Whether the map is a fit or a model of the sensor, not the picture's own grid."""
        return self.georeferencing in ("gcps", "rpc")

    @property
    def has_crs(self) -> bool:
        """Whether `to_crs` gives coordinates of `wkt`."""
        return self.map is not None and self.wkt is not None

    @property
    def located(self) -> bool:
        """Whether there is a longitude and latitude, and sizes on the ground."""
        return self.has_crs and self.reason is None

    @property
    def crs_name(self) -> str | None:
        """The CRS's code, as "EPSG:32640", else its name; None without one."""
        return None if self.wkt is None else systems.crs_name(self.wkt)

    @property
    def clockwise(self) -> bool:
        """Whether rings of `Mask.polygons` run clockwise in the CRS: those writers reverse; usual for north-up."""
        return self.map is not None and jacobian(self.map, *self._middle()) < 0

    def _middle(self) -> tuple[float, float]:
        return self.size_px[0] / 2, self.size_px[1] / 2

    # --- Coordinates ------------------------------------------------------------------------------------------

    def to_crs(self, points: ArrayLike) -> Points:
        """Coordinates (n, 2) in the CRS of pixel edges (n, 2); as they are where there is no map.

        With a map but no CRS they have its numbers, whose meaning is not known. NaN where a map has no result.
        """
        pixels = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        return pixels.copy() if self.map is None else self.map.to_crs(pixels)

    def to_lonlat(self, points: ArrayLike) -> Points:
        """Longitudes and latitudes (n, 2) in WGS84, degrees, of pixel edges (n, 2); NaN where the CRS ends.

        GeoReferenceError where there is none: `reason` says why.
        """
        return systems.to_lonlat(self._crs(), self.to_crs(points))

    def to_geodetic(self, points: ArrayLike) -> Points:
        """Like `to_lonlat`, on the datum of the CRS itself: what lengths and areas are computed from."""
        return systems.to_geodetic(self._crs(), self.to_crs(points))

    def _crs(self) -> str:
        if self.wkt is None or not self.located:
            raise GeoReferenceError(f"the image has no longitude and latitude: {self.reason or 'no georeferencing'}")
        return self.wkt

    # --- Sizes ------------------------------------------------------------------------------------------------

    def geodesic(self, polygons: Iterable[Rings]) -> Geodesic | None:
        """Area and perimeter on the ground of polygons in pixel edges, holes left out of the area.

        None where there is no longitude and latitude, or the CRS does not reach all of them.
        """
        if not self.located:
            return None
        geod, area, length = systems.geod(self._crs()), 0.0, 0.0
        for polygon in polygons:
            for index, ring in enumerate(polygon):
                degrees = self.to_geodetic(densified(ring))
                ring_m2, ring_m = geod.polygon_area_perimeter(degrees[:, 0], degrees[:, 1])
                area += abs(ring_m2) if index == 0 else -abs(ring_m2)
                length += ring_m
        return Geodesic(area, length) if math.isfinite(area) and math.isfinite(length) else None

    def area_crs(self, polygons: Iterable[Rings]) -> float | None:
        """The planar area of polygons in pixel edges, in squared units of the CRS; None without one."""
        if not self.has_crs:
            return None
        total = 0.0
        for polygon in polygons:
            for index, ring in enumerate(polygon):
                covered = abs(signed_area(self.to_crs(ring)))
                total += covered if index == 0 else -covered
        return total if math.isfinite(total) else None

    @property
    def gsd_m(self) -> tuple[float, float] | None:
        """Metres on the ground between neighbouring pixel centres in the middle, along a row and along a column.

        None where there is no longitude and latitude there.
        """
        if not self.located:
            return None
        (x, y), geod = self._middle(), systems.geod(self._crs())
        ends = self.to_geodetic(np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]]))
        _, _, metres = geod.inv(ends[::2, 0], ends[::2, 1], ends[1::2, 0], ends[1::2, 1])
        along_row, along_column = float(metres[0]), float(metres[1])
        return (along_row, along_column) if math.isfinite(along_row) and math.isfinite(along_column) else None

    def operation(self) -> systems.Operation | None:
        """How coordinates get to WGS84 in the middle of the raster; None without longitude and latitude."""
        if not self.located:
            return None
        ((x, y),) = self.to_crs(np.array([self._middle()])).tolist()
        return systems.operation(self._crs(), (x, y))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as answer.json and a record of a layer hold them; `from_dict` is the way back."""
        return plain_values(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Place:
        """The place that `to_dict` made `values` of; msgspec.ValidationError names a field that is not right."""
        return msgspec.convert(values, cls)


def make_place(
    size_px: tuple[int, int],
    pixel_map: PixelMap | None,
    crs: str | None,
    what: str,
    reason: str | None = None,
) -> Place:
    """A checked Place; `crs` is WKT or anything else that names a CRS, `reason` why there is no map.

    GeoReferenceError, which begins with `what`, where the map places nothing or the CRS is none.
    """
    if pixel_map is None:
        return Place(size_px, reason=reason or "it has no transform, control points or polynomials")
    check(pixel_map, what)
    residual = pixel_map.residual_px() if isinstance(pixel_map, Gcps) else None
    if crs is None:
        return Place(size_px, pixel_map, reason="it has a transform but no CRS", residual_px=residual)
    try:
        wkt, whole = systems.horizontal_wkt(crs), str(systems.crs_of(crs).to_wkt("WKT2_2019"))
    except GeoReferenceError as error:
        raise GeoReferenceError(f"{what}: {error}") from None
    source = whole if whole != wkt else None
    return Place(size_px, pixel_map, wkt, source, systems.unplaced(wkt), residual)


def plain_values(record: msgspec.Struct) -> dict[str, Any]:
    """A record as JSON has it: lists in the place of tuples."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(record))
    return plain


def densified(ring: NDArray[Any], step_px: float = STEP_PX) -> Points:
    """A closed ring (n, 2) with further vertices on its edges, at most `step_px` apart."""
    points = np.asarray(ring, dtype=np.float64)
    if len(points) < 2:
        return points
    edges = np.diff(points, axis=0)
    parts = np.maximum(np.ceil(np.hypot(edges[:, 0], edges[:, 1]) / step_px), 1).astype(np.intp)
    which = np.repeat(np.arange(len(parts)), parts)
    along = (np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)) / parts[which]
    return np.vstack([points[which] + along[:, None] * edges[which], points[-1:]])


def signed_area(ring: NDArray[Any]) -> float:
    """The planar area of a closed ring (n, 2), positive where it runs counter-clockwise for y upwards."""
    x, y = np.asarray(ring, dtype=np.float64).T
    x, y = x - x[0], y - y[0]  # large coordinates would cancel
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)
