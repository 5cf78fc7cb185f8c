"""A scene's pixels, by windows: through GDAL where it reads the file, else from one picture held in memory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .. import limits
from ..errors import ImageError
from ..images import LoadedImage, load_image
from ..rasters.colouring import Reading
from ..rasters.geotiff import open_raster
from ..rasters.place import Place
from ..rasters.problems import printable
from ..rasters.raster import Ends, Raster, Window
from ..rasters.routing import geo_is_there, route_of

_PART_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Scene:
    """A scene's file, and how its samples are shown; plain values, so that another process opens the same."""

    path: Path
    reading: Reading = field(default_factory=Reading)

    def open(self) -> Raster:
        """The scene, for one thread. ImageError where it cannot be read."""
        what = f"image={printable(str(self.path))!r}"
        if not self.path.is_file():
            raise ImageError(f"{what} is not there, or is no regular file; correct the path")
        if self._by_gdal(what):
            return open_raster(self.path, self.reading, what, largest=_check_sides(what))
        return Picture(load_image(self.path))

    def _by_gdal(self, what: str) -> bool:
        try:
            with self.path.open("rb") as stream:
                return geo_is_there() and route_of(stream, self.path, what).kind in ("tiff", "jp2")
        except OSError as error:
            raise ImageError(f"{what} cannot be opened ({type(error).__name__}); correct its permissions") from None

    def state(self) -> tuple[int, int]:
        """Bytes and time of change of the file; ImageError where it is gone."""
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise ImageError(
                f"image={printable(str(self.path))!r} cannot be read any more ({error.strerror}); put it back, then "
                "give the same command"
            ) from None
        return status.st_size, status.st_mtime_ns

    def digest(self) -> str:
        """SHA-256, hex, over the file's first and last MiB: what a job's key holds of its bytes."""
        told = hashlib.sha256()
        with self.path.open("rb") as stream:
            told.update(stream.read(_PART_BYTES))
            stream.seek(max(0, self.state()[0] - _PART_BYTES))
            told.update(stream.read(_PART_BYTES))
        return told.hexdigest()


class Picture:
    """An image in memory, as `raster.Raster`: without a place where the image has none."""

    def __init__(self, image: LoadedImage) -> None:
        self._image: LoadedImage | None = image
        self.path = image.path or Path(image.name)
        self.width_px, self.height_px = image.width_px, image.height_px
        known: Any = getattr(image, "place", None)
        self.place: Place = known or Place((image.width_px, image.height_px), reason="it has no georeferencing")
        self.bands: tuple[int, ...] = (1, 2, 3)
        self.stretch: tuple[Ends, ...] | None = None
        self.notes = image.notes

    def read(self, x: int, y: int, width: int, height: int) -> Window:
        """The pixels of a window."""
        if self._image is None:
            raise ImageError(f"image={str(self.path)!r} was closed; open it again before it is read")
        rgb = np.ascontiguousarray(self._image.pixels[y : y + height, x : x + width])
        return Window(rgb, np.ones((height, width), np.bool_))

    def overview(self, longest_side_px: int) -> Window:
        """Every n-th pixel, so that no side exceeds `longest_side_px`."""
        step = -(-max(self.width_px, self.height_px) // longest_side_px)
        whole = self.read(0, 0, self.width_px, self.height_px)
        rgb = np.ascontiguousarray(whole.rgb[::step, ::step])
        return Window(rgb, np.ones(rgb.shape[:2], np.bool_))

    def stored(self, x: int, y: int, width: int, height: int) -> bool:
        """True: every pixel holds data."""
        return True

    def close(self) -> None:
        """Let the pixels go."""
        self._image = None

    def __enter__(self) -> Picture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_sides(what: str) -> Any:
    def check(width_px: int, height_px: int) -> None:
        if max(width_px, height_px) > limits.MAX_SCENE_SIDE_PX:
            raise ImageError(f"{what} of {width_px} x {height_px} px is over {limits.MAX_SCENE_SIDE_PX} a side; cut it")

    return check
