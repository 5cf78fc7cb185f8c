"""An image that is held in memory, read as a raster is: what GDAL does not read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..images import LoadedImage
from ..rasters.place import Place
from ..rasters.raster import Ends, Window


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

    def shrunk(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Window:
        """The pixels of a part, averaged to `size` (width, height)."""
        x, y, w, h = box
        whole = Image.fromarray(self.read(0, 0, self.width_px, self.height_px).rgb)
        rgb = np.array(whole.resize(size, Image.Resampling.BOX, (x, y, x + w, y + h)))
        return Window(rgb, np.ones(rgb.shape[:2], np.bool_))

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
