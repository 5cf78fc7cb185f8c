"""A height model under a picture that rational polynomials place: it has to tell a height wherever the picture lies.

GDAL takes heights of 0 where it tells none, which moves what is there by as much as the ground is high.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import GeoReferenceError, OptionError
from .crs import from_lonlat, wkt_of
from .extra import load_shapely
from .gdal import driver_of, gdal, open_dataset
from .pixel_map import Rpc
from .place import Place, Points, densified

# Land lies between the Dead Sea's shore and Everest; what is beyond stands for no height.
_LEAST_M, _MOST_M = -500.0, 9_000.0
_CELLS_AT_ONCE = 4_000_000
_OVERVIEW_PX = 1_024

Cells = NDArray[np.float64]


def height_model(dem: str) -> str:
    """Its absolute path, if GDAL may open it: a TIFF."""
    path = Path(os.path.abspath(dem))
    if not path.is_file() or driver_of(path, f"dem={dem!r}") != "GTiff":
        raise OptionError(f"dem={dem!r} is no TIFF that is there; give a height model as one, in metres")
    return str(path)


def check_height_model(place: Place, rpc: Rpc, dem: str, what: str) -> None:
    """GeoReferenceError for a model that ends, or has a hole, under the picture that it places."""
    name = f"dem={dem!r}"
    width, height = place.size_px
    border = densified(np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64))
    dataset = open_dataset(Path(dem), name, [])
    try:
        with gdal(name):
            crs = wkt_of(dataset.crs) if dataset.crs else None
            if crs is None:
                raise GeoReferenceError(f"{name} has no CRS; give a height model that says where it is")
            model = _Model(dataset, crs)
            within = model.cells(place.to_crs(border))
            if not ((within >= 0) & (within <= (dataset.width, dataset.height))).all():
                raise GeoReferenceError(f"{what}: {name} does not cover all of it; give one that does")
            missing = model.holes(rpc, border, within)
    finally:
        dataset.close()
    if missing:
        raise GeoReferenceError(
            f"{what}: {name} tells no height at {missing} of its pixels under it; fill them, as gdal_fillnodata.py "
            "does, or give rpc_height"
        )


class _Model:
    """An open height model; cells are its columns and rows, of pixel edges."""

    def __init__(self, dataset: Any, crs: str) -> None:
        self._dataset, self._crs = dataset, crs

    def cells(self, lonlat: Points) -> Cells:
        """Where longitudes and latitudes lie; NaN where its CRS does not reach."""
        x, y = from_lonlat(self._crs, lonlat).T
        a, b, c, d, e, f = (~self._dataset.transform)[:6]
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    def holes(self, rpc: Rpc, border: Points, near: Cells) -> int:
        """How many cells without a height the picture may lie on, between the lowest and highest ground near it."""
        shapely = load_shapely()
        corners = [near]
        for height_m in self._range(near):
            flat = msgspec.structs.replace(rpc, dem=None, height_m=height_m)
            corners.append(self.cells(flat.to_crs(border)))
        points = np.vstack(corners)
        below = shapely.MultiPoint(points[np.isfinite(points).all(axis=1)]).convex_hull.buffer(1)
        return sum(int(one.sum()) for one in self._missing(below))

    def _range(self, near: Cells) -> tuple[float, ...]:
        """The lowest and highest ground around cells; nothing where no height is known."""
        from rasterio.windows import Window

        low, high = np.floor(near.min(axis=0)).astype(int), np.ceil(near.max(axis=0)).astype(int) + 1
        wide, tall = (high - low).tolist()
        shape = (1, min(tall, _OVERVIEW_PX), min(wide, _OVERVIEW_PX))
        read = self._dataset.read(1, window=Window(*low.tolist(), wide, tall), out_shape=shape[1:], masked=True)
        heights = _heights(read)
        known = heights[np.isfinite(heights)]
        return (float(known.min()), float(known.max())) if known.size else ()

    def _missing(self, below: Any) -> Iterator[NDArray[np.bool_]]:
        """Cells without a height that meet a polygon, some rows at a time."""
        from rasterio import Affine
        from rasterio.features import geometry_mask
        from rasterio.windows import Window

        west, north, east, south = below.bounds
        left, right = max(0, int(west)), min(self._dataset.width, int(np.ceil(east)))
        top, bottom = max(0, int(north)), min(self._dataset.height, int(np.ceil(south)))
        rows = max(1, _CELLS_AT_ONCE // max(1, right - left))
        for row in range(top, bottom, rows):
            shape = (min(rows, bottom - row), right - left)
            read = self._dataset.read(1, window=Window(left, row, shape[1], shape[0]), masked=True)
            meets = geometry_mask([below], shape, Affine.translation(left, row), all_touched=True, invert=True)
            yield meets & ~np.isfinite(_heights(read))


def _heights(read: Any) -> NDArray[np.float64]:
    """Metres, NaN where none is known."""
    heights = np.ma.filled(read.astype(np.float64), np.nan)
    with np.errstate(invalid="ignore"):
        heights[~((heights >= _LEAST_M) & (heights <= _MOST_M))] = np.nan
    found: NDArray[np.float64] = heights
    return found
