"""Who reads a file: Pillow, as the original does, or GDAL where Pillow would lose its place or read it wrong."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ..errors import ImageError
from .georeference import world_file
from .tiff_plan import inspect
from .tiff_structure import UNSIGNED
from .tiff_tags import DamagedTiff, is_tiff, read_pages

SWITCH = "GEOPIXEL_EDGE_NO_GEO"
_JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_PLACED = (b"\x89PNG", b"\xff\xd8\xff")  # the other formats that GDAL reads here
_AUX_PLACE = (b"<GeoTransform", b"<GCPList", b'domain="RPC"')
_MAX_AUX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Route:
    """`kind` of the file by its first bytes; `located`: it, or a file beside it, says where it is.

    `plain`: 8-bit samples that Pillow reads right.
    """

    kind: Literal["tiff", "jp2", "other"]
    located: bool
    plain: bool

    def by_gdal(self, bands_asked: bool) -> bool:
        """Whether GDAL is to read the pixels; it reads the place of all that are located."""
        return self.kind == "jp2" or (self.kind == "tiff" and (self.located or not self.plain or bands_asked))


def geo_is_there() -> bool:
    """Whether rasters are read through GDAL: the extra is installed, and GEOPIXEL_EDGE_NO_GEO does not forbid it."""
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return False
    return all(importlib.util.find_spec(library) for library in ("rasterio", "pyproj", "shapely"))


def route_of(stream: BinaryIO, path: Path, what: str) -> Route:
    """The route of an open file; nothing of its pixels is decoded, but for a mask among a TIFF's pages."""
    stream.seek(0)
    head = stream.read(12)
    if head.startswith(_JPEG_2000):
        return Route("jp2", True, False)
    if not is_tiff(head):
        return Route("other", head.startswith(_PLACED) and _place_beside(path), True)
    try:
        located = read_pages(stream)[0].georeferenced or _place_beside(path)
        shape = inspect(stream, 0, what).shape
        return Route("tiff", located, shape.bits <= 8 and shape.sample_format == UNSIGNED)
    except DamagedTiff:
        return Route("tiff", _place_beside(path), False)
    except ImageError:
        return Route("tiff", located, False)


def note_of_lost_place(path: Path) -> str:
    """What is said of a located file whose place is not kept."""
    return f"{path.name} is georeferenced; install geopixel-edge[geo] to keep its place"


def _place_beside(path: Path) -> bool:
    """Whether a world file, GDAL's side file, or polynomials beside an image place it."""
    if world_file(path) is not None:
        return True
    stems = (f"{path.stem}_RPC.TXT", f"{path.stem}_rpc.txt", f"{path.stem}.RPB", f"{path.stem}.rpb", f"{path.stem}.tab")
    if any(path.with_name(name).is_file() for name in stems):
        return True
    try:
        with path.with_name(path.name + ".aux.xml").open("rb") as beside:
            text = beside.read(_MAX_AUX_BYTES)
    except OSError:
        return False
    return any(sign in text for sign in _AUX_PLACE)
