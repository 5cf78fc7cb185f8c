"""regions.geojson: every region's outline, RFC 7946 where the image has longitude and latitude, else in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..json_text import encode_json, finite
from ..rasters.lonlat import bounds, decimals_for, lonlat_polygons, unwrapped

if TYPE_CHECKING:
    from ..rasters.lonlat import LonLatPolygon
    from ..rasters.place import Place
    from ..regions import Region


def document(regions: Sequence[Region], image_size: Sequence[int] | None, place: Place | None = None) -> dict[str, Any]:
    """A FeatureCollection: one MultiPolygon per region, a null geometry for an empty mask.

    With a `place` that has longitude and latitude it is RFC 7946: WGS84, outlines counter-clockwise, cut at the
    antimeridian, `bbox` west, south, east, north. Otherwise coordinates are pixel edges, x to the right and y down;
    the member `geopixel_edge` says which, because GeoJSON itself cannot and forbids members `crs` and, in this place,
    `coordinates` (RFC 7946, 4 and 7.1). `properties.bbox` is x, y, width, height in pixels; `image_size` width,
    height, None without an image.
    """
    if place is not None and place.located:
        return _on_the_ground(regions, image_size, place)
    return {
        "type": "FeatureCollection",
        "geopixel_edge": {
            "coordinates": "pixel",
            "y_axis": "down",
            "crs": None,
            "image_size": image_size and list(image_size),
            "georeferenced": False,
            **({} if place is None else {"reason": place.reason, "place": place.to_dict()}),
        },
        "features": [
            _feature(index, region, [[ring.tolist() for ring in polygon] for polygon in region.mask.polygons()])
            for index, region in enumerate(regions)
        ],
    }


def _on_the_ground(regions: Sequence[Region], image_size: Sequence[int] | None, place: Place) -> dict[str, Any]:
    decimals = decimals_for(place)
    outlines = [lonlat_polygons(place, region.mask.polygons(), decimals) for region in regions]
    operation = place.operation()
    features = []
    for index, (region, polygons) in enumerate(zip(regions, outlines, strict=True)):
        written = [[_closed(ring.tolist()) for ring in polygon] for polygon in polygons or []]
        box = _box(polygons or [], decimals)
        features.append(_feature(index, region, written, **({"bbox": box} if box else {})))
    box = _box([polygon for polygons in outlines for polygon in polygons or []], decimals)
    return {
        "type": "FeatureCollection",
        **({"bbox": box} if box else {}),
        "geopixel_edge": {
            "coordinates": "longitude, latitude",
            "crs": place.crs_name,
            "image_size": image_size and list(image_size),
            "georeferenced": True,
            "approximate": place.approximate,
            "gsd_m": place.gsd_m and list(place.gsd_m),
            "operation": operation and operation.name,
            "accuracy_m": operation and operation.accuracy_m,
            "place": place.to_dict(),
        },
        "features": features,
    }


def _feature(index: int, region: Region, polygons: list[Any], **members: Any) -> dict[str, Any]:
    place = region.place
    ground = {} if place is None else {name: getattr(place, name) for name in ("area_m2", "length_m", "width_m")}
    lon, lat = (place.centroid if place is not None else None) or (None, None)
    return {
        "type": "Feature",
        "id": index,
        **members,
        "properties": {
            "phrase": region.phrase,
            "score": finite(region.score),
            "area_px": region.area_px,
            "bbox": list(region.bbox),
            **({} if place is None else {**ground, "lon": lon, "lat": lat}),
        },
        "geometry": {"type": "MultiPolygon", "coordinates": polygons} if polygons else None,
    }


def _closed(ring: list[list[float]]) -> list[list[float]]:
    return ring if ring[0] == ring[-1] else [*ring, ring[0]]


def _box(polygons: Sequence[LonLatPolygon], decimals: int) -> list[float] | None:
    """The `bbox` of polygons that were cut at the antimeridian."""
    if not polygons:
        return None
    found = bounds([unwrapped(np.asarray(polygon[0])) for polygon in polygons])
    return None if found is None else [round(value, decimals) for value in found]


def encode(regions: Sequence[Region], image_size: Sequence[int] | None, place: Place | None = None) -> bytes:
    """UTF-8 GeoJSON."""
    return encode_json(document(regions, image_size, place))
