"""A mask of the scene's size as a cloud-optimised GeoTIFF: the class of every pixel, or the id of its object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import OptionError
from ...kernels.native import native
from ...rasters.crs import crs_of
from ...rasters.extra import load_rasterio
from ...rasters.pixel_map import Affine, Gcps
from ...rasters.place import Place
from ..colours import colour
from .feature import Feature, Layer, WindowFeature
from .gpkg import cannot_write

_BLOCK_PX = 512
_OPTIONS = {"GDAL_CACHEMAX": 64, "CHECK_DISK_FREE_SPACE": "NO"}


class MaskCog:
    """A mask that is made at `path`: objects are burnt into a sparse tiled file beside it, which becomes the COG."""

    def __init__(self, path: Path, layer: Layer, ids: bool) -> None:
        self.path, self.layer, self.ids = path, layer, ids
        if not ids and len(layer.phrases) > 255:
            raise OptionError(f"ids=False: {len(layer.phrases)} phrases are over 255 classes; give ids=True (--ids)")
        self._classes = {phrase: number for number, phrase in enumerate(layer.phrases, 1)}
        self._plain = path.with_name(path.name + ".tiles.tif")
        with self._gdal() as rasterio:
            self._file = rasterio.open(self._plain, "w+", **self._profile())
            self._describe()

    @contextmanager
    def _gdal(self) -> Iterator[Any]:
        rasterio = load_rasterio()
        try:
            with rasterio.Env(**_OPTIONS):
                yield rasterio
        except (rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError, OSError) as error:
            raise cannot_write(self.path, error) from None

    def _profile(self) -> dict[str, Any]:
        (width, height), place = self.layer.size_px, self.layer.place
        profile: dict[str, Any] = {"driver": "GTiff", "width": width, "height": height, "count": 1, "nodata": 0}
        profile.update(dtype="uint32" if self.ids else "uint8", tiled=True, blockxsize=_BLOCK_PX, blockysize=_BLOCK_PX)
        profile.update(sparse_ok=True, compress="deflate", bigtiff="IF_SAFER")
        if not place.has_crs:
            return profile
        if isinstance(place.map, Affine):
            from rasterio import Affine as Transform

            profile.update(crs=place.wkt, transform=Transform(*(getattr(place.map, name) for name in "abcdef")))
        elif isinstance(place.map, Gcps):
            from rasterio.control import GroundControlPoint

            points = [GroundControlPoint(row=y, col=x, x=east, y=north) for x, y, east, north in place.map.points]
            profile.update(crs=place.wkt, gcps=points)
        return profile

    def _describe(self) -> None:
        """The phrase of each class, and its colour."""
        self._file.update_tags(geopixel_edge=json.dumps(self.layer.record))
        if self.ids:
            self._file.update_tags(1, values="ids of the objects")
            return
        named = {str(number): phrase for phrase, number in self._classes.items()}
        self._file.update_tags(1, classes=json.dumps(named, ensure_ascii=False))
        self._file.write_colormap(1, {0: (0, 0, 0, 0), **{k: (*colour(k - 1), 255) for k in self._classes.values()}})

    def add(self, features: Sequence[Feature]) -> None:
        """The next objects: the pixels of each get its class or id, a block of rows at a time."""
        with self._gdal():
            for feature in features:
                thing = feature.thing
                value = thing.id if self.ids else self._classes[thing.phrase]
                for x, y, w, h, counts in thing.pieces:
                    for top in range(0, h, _BLOCK_PX):
                        for left in range(0, w, _BLOCK_PX):
                            box = (left, top, min(_BLOCK_PX, w - left), min(_BLOCK_PX, h - top))
                            shown = native.rle_window((0, 0, w, h), counts, box)
                            if shown.any():
                                self._burn((x + left, y + top), shown, value)

    def _burn(self, corner: tuple[int, int], shown: np.ndarray, value: int) -> None:
        from rasterio.windows import Window

        window = Window(*corner, shown.shape[1], shown.shape[0])
        before = self._file.read(1, window=window)
        before[shown] = value
        self._file.write(before, 1, window=window)

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """Copy the tiles to the COG, with overviews that hold only values which are there."""
        with self._gdal():
            self._file.close()
            from rasterio.shutil import copy

            copy(
                self._plain,
                self.path,
                driver="COG",
                COMPRESS="DEFLATE",
                BLOCKSIZE=_BLOCK_PX,
                OVERVIEW_RESAMPLING="MODE",
                BIGTIFF="IF_SAFER",
            )
            self._plain.unlink()


class MaskPng(MaskCog):
    """The classes as a PNG with a palette; where it is stands in a world file and a .prj beside it."""

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """Copy the tiles to the PNG, row by row."""
        with self._gdal():
            self._file.close()
            from rasterio.shutil import copy

            copy(self._plain, self.path, driver="PNG")
            self._plain.unlink()
        self.path.with_name(self.path.name + ".aux.xml").unlink(missing_ok=True)


def world_file(place: Place) -> str | None:
    """The six lines of a world file, which name the middle of the upper left pixel; None without a straight map."""
    if not isinstance(place.map, Affine):
        return None
    a, b, c, d, e, f = (getattr(place.map, name) for name in "abcdef")
    return "".join(f"{number!r}\n" for number in (a, d, b, e, c + (a + b) / 2, f + (d + e) / 2))


def prj_file(place: Place) -> str | None:
    """The CRS as .prj files have it; None without one, or where that form cannot say it."""
    if not place.has_crs or place.wkt is None:
        return None
    text = crs_of(place.wkt).to_wkt("WKT1_ESRI", pretty=False)
    return None if text is None else str(text)
