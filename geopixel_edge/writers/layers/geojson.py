"""GeoJSON, feature by feature: RFC 7946 where the scene has longitude and latitude, else in pixels with a flag."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...json_text import encode_json
from ...rasters.lonlat import LonLatPolygon, bounds, decimals_for, lonlat_polygons, unwrapped
from ...rasters.place import Place
from .feature import Feature, Layer, WindowFeature
from .gpkg import cannot_write


class GeoJson:
    """A FeatureCollection of the objects that is made at `path`; its members `bbox` and `geopixel_edge` end it."""

    def __init__(self, path: Path, layer: Layer) -> None:
        self.path, self.layer = path, layer
        self._located = layer.place.located
        self._decimals = _decimals(layer.place) if self._located else 0
        self._around: list[np.ndarray] = []
        self._count = 0
        self._file: BinaryIO = self._opened()
        self._put(b'{"type": "FeatureCollection", "features": [')

    def _opened(self) -> BinaryIO:
        try:
            return self.path.open("xb")
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def add(self, features: Sequence[Feature]) -> None:
        """The next objects."""
        for feature in features:
            self._put((b",\n" if self._count else b"\n") + encode_json(self._document(feature)).rstrip())
            self._count += 1

    def _document(self, feature: Feature) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if self._located:
            found = lonlat_polygons(self.layer.place, feature.polygons, self._decimals) or []
            polygons = [[_closed(ring.tolist()) for ring in polygon] for polygon in found]
            if box := self._box(found):
                members["bbox"] = box
        else:
            polygons = [[ring.tolist() for ring in polygon] for polygon in feature.polygons]
        values = feature.values()
        return {
            "type": "Feature",
            "id": values.pop("id"),
            **members,
            "properties": values,
            "geometry": {"type": "MultiPolygon", "coordinates": polygons} if polygons else None,
        }

    def _box(self, polygons: Sequence[LonLatPolygon]) -> list[float] | None:
        """The `bbox` of one feature; the whole layer's grows to hold it."""
        if not polygons:
            return None
        found = bounds([unwrapped(np.asarray(polygon[0])) for polygon in polygons])
        if found is None:
            return None
        west, south, east, north = found
        far = east if east >= west else east + 360
        self._around.append(np.array([[west, south], [far, north]]))
        if len(self._around) > 1_000:
            self._around = [_ring(bounds(self._around))]
        return list(found)

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """The members of the whole collection."""
        layer, place = self.layer, self.layer.place
        told: dict[str, Any] = {
            "coordinates": "longitude, latitude" if self._located else "pixel",
            **({} if self._located else {"y_axis": "down"}),
            "crs": place.crs_name if self._located else None,
            "image_size": list(layer.size_px),
            "georeferenced": self._located,
            **({} if self._located else {"reason": place.reason}),
            "approximate": place.approximate,
            "record": layer.record,
        }
        box = bounds(self._around) if self._around else None
        members = {**({"bbox": list(box)} if box else {}), "geopixel_edge": told}
        self._put(b"\n], " + encode_json(members)[1:])
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise cannot_write(self.path, error) from None


def _decimals(place: Place) -> int:
    """As in regions.geojson, but 8 below 0.6 m: 7 would change the area of things of nine pixels by a hundredth."""
    gsd = place.gsd_m
    return max(decimals_for(place), 8 if gsd is not None and min(gsd) < 0.6 else 0)


def _ring(box: tuple[float, float, float, float] | None) -> np.ndarray:
    assert box is not None
    west, south, east, north = box
    return np.array([[west, south], [east if east >= west else east + 360, north]])


def _closed(ring: list[list[float]]) -> list[list[float]]:
    return ring if ring[0] == ring[-1] else [*ring, ring[0]]
