"""A scene's file: how it is opened, each time the same, and what tells that it changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from .. import limits
from ..errors import ImageError, OptionError
from ..images import load_image
from ..rasters.colouring import Reading
from ..rasters.georeference import Ground, world_file
from ..rasters.geotiff import GeoTiff, open_raster
from ..rasters.given import GivenPlace
from ..rasters.problems import printable
from ..rasters.raster import Raster
from ..rasters.routing import geo_is_there, route_of
from .picture import Picture
from .scale import Scale
from .shrunk import Shrunk

_PART_BYTES = 1024 * 1024
# Ends that are not looked at: with them no pixel of a wide raster is read when it is opened.
_ANY_ENDS = ((0.0, 1.0),)


class FileState(NamedTuple):
    """What tells that a file changed."""

    name: str
    bytes: int
    time_ns: int


@dataclass(frozen=True)
class Scene:
    """A scene's file, and how it is shown; plain values, so that another process opens the same.

    `reading`: how its samples are shown. `given`: its place, whatever the file says. `ground`: what polynomials of a
    sensor lay it on. `gsd_m`: metres a pixel that are shown; None shows its own pixels.
    """

    path: Path
    reading: Reading = field(default_factory=Reading)
    given: GivenPlace | None = None
    ground: Ground | None = None
    gsd_m: float | None = None

    def open(self) -> Raster:
        """The scene as it is stored, for one thread. ImageError where it cannot be read."""
        what = self.what
        raster: GeoTiff | Picture
        if self.by_gdal():
            raster = open_raster(self.path, self.reading, what, largest=_check_sides(what), ground=self.ground)
        else:
            raster = Picture(load_image(self.path, self.reading))
            if self.ground is not None:
                raise OptionError(f"rpc_height, dem: {what} has no rational polynomials; leave them out")
            if self.reading.stretch is not None:
                raise OptionError(f"stretch={self.reading.stretch!r}: {what} is no raster that GDAL reads here")
        if self.given is not None:
            raster.place = self.given.place((raster.width_px, raster.height_px))
        return raster

    def seen(self, scale: Scale) -> Raster:
        """The scene as it is shown, for one thread. Raises as `open`."""
        return self.open() if scale.plain else Shrunk(self.open(), scale)

    @property
    def what(self) -> str:
        """What errors call it."""
        return f"image={printable(str(self.path))!r}"

    def by_gdal(self) -> bool:
        """Whether GDAL reads the file, window by window; others are held in memory whole. Raises as `open`."""
        if not self.path.is_file():
            raise ImageError(f"{self.what} is not there, or is no regular file; correct the path")
        try:
            with self.path.open("rb") as stream:
                return geo_is_there() and route_of(stream, self.path, self.what).kind in ("tiff", "jp2")
        except OSError as error:
            raise ImageError(
                f"{self.what} cannot be opened ({type(error).__name__}); correct its permissions"
            ) from None

    def state(self) -> tuple[FileState, ...]:
        """The file, first, and those beside it that belong to it. ImageError where it is gone."""
        try:
            found = [_state(self.path)]
        except OSError as error:
            raise ImageError(
                f"{self.what} cannot be read any more ({error.strerror}); put it back, then give the same command"
            ) from None
        for beside in _beside(self.path):
            with contextlib.suppress(OSError):
                found.append(_state(beside))
        return tuple(found)

    def unread(self) -> Scene:
        """The same scene, opened without a look at its pixels: they would be shown with ends of no meaning."""
        if not self.by_gdal():
            return self
        return replace(self, reading=msgspec.structs.replace(self.reading, stretch=_ANY_ENDS))

    def digest(self) -> str:
        """SHA-256, hex, over the file's first and last MiB: what a job's key holds of its bytes."""
        told = hashlib.sha256()
        with self.path.open("rb") as stream:
            told.update(stream.read(_PART_BYTES))
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _PART_BYTES))
            told.update(stream.read(_PART_BYTES))
        return told.hexdigest()


def _state(path: Path) -> FileState:
    status = os.stat(path)
    return FileState(path.name, status.st_size, status.st_mtime_ns)


def _beside(path: Path) -> list[Path]:
    """The files beside an image that GDAL or this package reads with it, those that are not there among them."""
    found = [path.with_name(path.name + end) for end in (".msk", ".ovr", ".msk.ovr", ".aux.xml")]
    found += [path.with_name(path.stem + end) for end in ("_RPC.TXT", "_rpc.txt", ".RPB", ".rpb")]
    if (world := world_file(path)) is not None:
        found += [world, path.with_suffix(".prj"), path.with_suffix(".PRJ")]
    return found


def _check_sides(what: str) -> Any:
    def check(width_px: int, height_px: int) -> None:
        if max(width_px, height_px) > limits.MAX_SCENE_SIDE_PX:
            raise ImageError(f"{what} of {width_px} x {height_px} px is over {limits.MAX_SCENE_SIDE_PX} a side; cut it")

    return check
