"""regions.geojson: every region's outline, in pixels while there is no CRS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..json_text import encode_json, finite

if TYPE_CHECKING:
    from ..regions import Region


def document(regions: Sequence[Region], image_size: Sequence[int] | None) -> dict[str, Any]:
    """A FeatureCollection: one MultiPolygon per region, a null geometry for an empty mask.

    Coordinates are pixel edges, x to the right and y down, not longitude and latitude; the member `geopixel_edge`
    says so, because GeoJSON itself cannot and forbids a member `coordinates` in this place (RFC 7946, 7.1).
    `bbox` is x, y, width, height; `image_size` width, height, None without an image.
    """
    return {
        "type": "FeatureCollection",
        "geopixel_edge": {
            "coordinates": "pixel",
            "y_axis": "down",
            "crs": None,
            "image_size": image_size and list(image_size),
        },
        "features": [_feature(index, region) for index, region in enumerate(regions)],
    }


def _feature(index: int, region: Region) -> dict[str, Any]:
    polygons = [[ring.tolist() for ring in polygon] for polygon in region.mask.polygons()]
    return {
        "type": "Feature",
        "id": index,
        "properties": {
            "phrase": region.phrase,
            "score": finite(region.score),
            "area_px": region.area_px,
            "bbox": list(region.bbox),
        },
        "geometry": {"type": "MultiPolygon", "coordinates": polygons} if polygons else None,
    }


def encode(regions: Sequence[Region], image_size: Sequence[int] | None) -> bytes:
    """UTF-8 GeoJSON."""
    return encode_json(document(regions, image_size))
