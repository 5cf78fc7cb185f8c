"""Raster files for tests, written by GDAL (rasterio), and the tags of a TIFF changed in place."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetWriter

HEIGHT_PX, WIDTH_PX = 41, 58
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 13: 4, 16: 8, 18: 8}


def bands(count: int, dtype: str, seed: int = 3) -> np.ndarray:
    """Bands that rise with place and differ from each other, over the middle of the dtype's range."""
    rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    smooth = np.stack([(columns * 2 + rows * 3 + band * 37 + seed) % 241 for band in range(count)])
    kind = np.dtype(dtype)
    if kind.kind in "fc":
        return (smooth / 3 - 20).astype(kind)
    if kind.kind == "i":
        return ((smooth - 120) * (1 if kind.itemsize == 1 else 211)).astype(kind)
    return (smooth * {1: 1, 2: 199, 4: 17_000_000}[kind.itemsize]).astype(kind)


def create(path: Path, shape: tuple[int, int, int], dtype: str, **options: Any) -> DatasetWriter:
    """A TIFF open for writing, of (bands, height, width)."""
    count, height_px, width_px = shape
    return rasterio.open(
        path, "w", driver="GTiff", count=count, height=height_px, width=width_px, dtype=dtype, **options
    )


def write_tiff(path: Path, samples: np.ndarray, **options: Any) -> Path:
    """Write (bands, height, width) or (height, width) with GDAL's creation options."""
    samples = samples if samples.ndim == 3 else samples[None]
    with create(path, samples.shape, str(samples.dtype), **options) as out:
        out.write(samples)
    return path


def gdal_reads(path: Path) -> np.ndarray:
    """GDAL's samples, (bands, height, width)."""
    with rasterio.open(path) as back:
        return np.asarray(back.read())


def first_page(data: bytes) -> tuple[str, int, dict[int, int]]:
    """Byte order, entry size and the place of each tag's entry in the first page of a classic TIFF or BigTIFF."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
    size, first = (20, start + 8) if big else (12, start + 2)
    places = {struct.unpack_from(order + "H", data, first + size * at)[0]: first + size * at for at in range(count)}
    return order, size, places


def set_tag(path: Path, tag: int, value: int, new_tag: int | None = None) -> Path:
    """Give the first value of a tag of the first page another number, or the entry another tag."""
    data = bytearray(path.read_bytes())
    order, size, places = first_page(bytes(data))
    at = places[tag]
    kind, count = struct.unpack_from(order + ("HQ" if size == 20 else "HI"), data, at + 2)
    code = {1: "B", 2: "H", 4: "I", 8: "Q"}[TYPE_BYTES[kind]]
    field = at + (12 if size == 20 else 8)
    inline = TYPE_BYTES[kind] * count <= size - (field - at)
    place = field if inline else struct.unpack_from(order + ("Q" if size == 20 else "I"), data, field)[0]
    struct.pack_into(order + code, data, place, value)
    if new_tag is not None:
        struct.pack_into(order + "H", data, at, new_tag)
    path.write_bytes(data)
    return path


__all__ = ["HEIGHT_PX", "WIDTH_PX", "NotGeoreferencedWarning", "bands", "create", "gdal_reads", "set_tag", "write_tiff"]
