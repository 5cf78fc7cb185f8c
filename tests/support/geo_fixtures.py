"""The georeferenced fixtures of tests/data/geo, with what is right about each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import rasterio

from geopixel_edge.masks import Mask
from geopixel_edge.rasters.pixel_map import Affine, Gcps, PixelMap, Rpc
from geopixel_edge.rasters.place import Place, make_place

FOLDER = Path(__file__).parents[1] / "data" / "geo"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
FIXTURES: dict[str, dict[str, Any]] = {entry["file"]: entry for entry in MANIFEST["files"]}
OPENED = sorted(name for name, entry in FIXTURES.items() if entry["expects"] == "open")
REFUSED = sorted(name for name, entry in FIXTURES.items() if entry["expects"] == "refuse")
MAPPED = sorted(name for name in OPENED if FIXTURES[name].get("region"))


def crs_of(entry: dict[str, Any]) -> str | None:
    """The WKT of a fixture's CRS."""
    return None if entry.get("crs") is None else str(MANIFEST["crs"][entry["crs"]])


def place_of(name: str) -> Place:
    """A fixture's place, its map read by rasterio alone and its CRS taken from the manifest."""
    entry = FIXTURES[name]
    with rasterio.open(FOLDER / name) as scene:
        pixel_map: PixelMap
        if entry["georef"] == "gcps":
            pixel_map = Gcps(tuple((point.col, point.row, point.x, point.y) for point in scene.gcps[0]))
        elif entry["georef"] == "rpc":
            pixel_map = msgspec.convert({**scene.rpcs.to_dict(), "kind": "rpc", "height_m": entry["rpc_height_m"]}, Rpc)
        else:
            pixel_map = Affine(*scene.transform[:6])
        return make_place((scene.width, scene.height), pixel_map, crs_of(entry), name)


def corners(box: tuple[int, int, int, int]) -> np.ndarray:
    """The closed ring of a box x, y, width, height, as `Mask.polygons` orders an outline."""
    x, y, w, h = box
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]], dtype=np.int32)


def block(size: tuple[int, int], box: tuple[int, int, int, int]) -> Mask:
    """A mask (width, height) that covers a box x, y, width, height."""
    bits = np.zeros(size[::-1], np.bool_)
    x, y, w, h = box
    bits[y : y + h, x : x + w] = True
    return Mask.from_array(bits)
