"""A raster read whole through GDAL, rows at a time, into the one array that the model's image is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ImageError
from .colouring import Reading
from .gdal import gdal, open_dataset
from .georeference import place_of
from .geotiff import open_raster
from .place import Place
from .problems import check_size
from .stretch import UInt8Array

# Rows are read about so many samples at a time: what reading takes beside the picture itself is bounded.
_SAMPLES = 16 * 1024 * 1024
SCENE_REMEDY = "ask about it with `geopixel-edge scene`, or cut out a part"


def read_whole(path: Path, what: str, reading: Reading) -> tuple[UInt8Array, tuple[str, ...], Place]:
    """RGB bytes (height, width, 3) of a raster, what was done, and its place. Raises as `open_raster`.

    ImageError for a raster over the bounds of one image and for one of which every pixel is missing.
    """
    with open_raster(path, reading, what, largest=lambda w, h: check_size(w, h, what, SCENE_REMEDY)) as raster:
        width, height = raster.width_px, raster.height_px
        pixels = np.empty((height, width, 3), np.uint8)
        rows, missing = max(1, _SAMPLES // (width * 3)), 0
        for top in range(0, height, rows):
            window = raster.read(0, top, width, min(rows, height - top))
            pixels[top : top + rows] = window.rgb
            missing += int(np.count_nonzero(~window.valid))
        if missing == width * height:
            raise ImageError(f"{what}: every pixel is missing; give an image with data")
        notes = [*raster.notes, *([f"{missing} pixels without data became white"] if missing else [])]
        return pixels, tuple(notes), raster.place


def place_alone(path: Path, what: str, notes: list[str]) -> Place:
    """The place of a file whose pixels another reader gives. Raises as `open_raster`."""
    dataset = open_dataset(path, what, notes)
    with dataset, gdal(what, notes):
        return place_of(dataset, path, what, notes)
