"""A STAC item beside a layer: where and when, what made it, and the file's checksum."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ...json_text import encode_json
from ...rasters.lonlat import bounds, decimals_for, lonlat_polygons, unwrapped
from ...version import __version__
from .feature import Layer, box_polygons

_STAC = "https://stac-extensions.github.io"
_PROJECTION, _FILE = f"{_STAC}/projection/v2.0.0/schema.json", f"{_STAC}/file/v2.1.0/schema.json"
_PROCESSING = f"{_STAC}/processing/v1.2.0/schema.json"
_MEDIA = {
    ".gpkg": "application/geopackage+sqlite3",
    ".geojson": "application/geo+json",
    ".fgb": "application/vnd.flatgeobuf",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
}
_SHA2_256 = "1220"  # the multihash prefix: SHA-256, 32 bytes


def item_of(path: Path, aside: Path, layer: Layer) -> bytes:
    """STAC 1.1.0 about the file at `aside`, which will be `path`."""
    place, (width, height) = layer.place, layer.size_px
    geometry, box = _footprint(layer)
    properties: dict[str, Any] = {
        "datetime": datetime.fromtimestamp(layer.started, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "geopixel_edge:datetime_source": "processing",
        "geopixel_edge:record": layer.record,
        "processing:software": {"geopixel-edge": __version__},
        "proj:shape": [height, width],
    }
    if taken := layer.record.get("acquired"):
        properties["datetime"], properties["geopixel_edge:datetime_source"] = taken, layer.record["acquired_from"]
    engine = layer.record.get("engine")
    if isinstance(engine, dict) and "source" in engine:
        # Of the model that made it: the extension's own schema is about models, and is not declared.
        properties.update({"mlm:name": engine["source"], "mlm:architecture": "GeoPixel"})
        properties["mlm:tasks"] = ["instance-segmentation"]
    if place.has_crs:
        code = place.crs_name or ""
        named = re.fullmatch(r"[A-Z]+:\d+", code) is not None
        properties.update({"proj:code": code} if named else {"proj:code": None, "proj:wkt2": place.wkt})
        if place.georeferencing == "affine":
            numbers = place.to_dict()["map"]
            properties["proj:transform"] = [numbers[name] for name in "abcdef"]
    asset = {
        "href": f"./{path.name}",
        "type": _MEDIA[path.suffix.lower()],
        "roles": ["data"],
        "file:size": aside.stat().st_size,
        "file:checksum": _SHA2_256 + _sha256(aside),
    }
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_FILE, _PROCESSING, _PROJECTION],
        "id": path.stem,
        "geometry": geometry,
        **({"bbox": box} if box else {}),
        "properties": properties,
        "links": [],
        "assets": {"objects": asset},
    }
    return encode_json(item, indent=1)


def _footprint(layer: Layer) -> tuple[dict[str, Any] | None, list[float] | None]:
    """The scene's border in longitude and latitude; nothing where it has none."""
    if not layer.place.located:
        return None, None
    found = lonlat_polygons(layer.place, box_polygons((0, 0, *layer.size_px)), decimals_for(layer.place))
    if not found:
        return None, None
    box = bounds([unwrapped(np.asarray(polygon[0])) for polygon in found])
    closed = [
        [[*ring.tolist(), *([] if (ring[0] == ring[-1]).all() else [ring[0].tolist()])] for ring in one]
        for one in found
    ]
    shape = (
        {"type": "Polygon", "coordinates": closed[0]}
        if len(closed) == 1
        else {"type": "MultiPolygon", "coordinates": closed}
    )
    return shape, None if box is None else list(box)


def _sha256(path: Path) -> str:
    told = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1024 * 1024):
            told.update(part)
    return told.hexdigest()
