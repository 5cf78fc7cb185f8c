"""A raster shown with fewer pixels: every window of it is averaged from the file, or from its overviews."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from ..rasters.place import Place
from ..rasters.raster import Ends, Raster, Window
from .scale import Scale


class Shrunk:
    """`raster.Raster` of seen pixels, owner of the raster behind it. Its `place` is that of the file's own pixels."""

    def __init__(self, raster: Raster, scale: Scale) -> None:
        self._raster, self._scale = raster, scale
        self.path: Path = raster.path
        self.width_px, self.height_px = scale.seen_px
        self.place: Place = raster.place
        self.bands: tuple[int, ...] = raster.bands
        self.stretch: tuple[Ends, ...] | None = raster.stretch

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the file."""
        return self._raster.notes

    def read(self, x: int, y: int, width: int, height: int) -> Window:
        """The seen pixels of a window; raises as `Raster.read`."""
        return self._raster.shrunk(self._scale.exact((x, y, width, height)), (width, height))

    def shrunk(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Window:
        """The seen pixels of a part, averaged to `size`."""
        x, y = (scene / seen for scene, seen in zip(self._scale.scene_px, self._scale.seen_px, strict=True))
        return self._raster.shrunk((box[0] * x, box[1] * y, box[2] * x, box[3] * y), size)

    def overview(self, longest_side_px: int) -> Window:
        """The whole scene, decimated; raises as `Raster.overview`."""
        return self._raster.overview(longest_side_px)

    def stored(self, x: int, y: int, width: int, height: int) -> bool:
        """False where no pixel of a window holds data, as far as that is known without reading any."""
        return self._raster.stored(*self._scale.box((x, y, width, height)))

    def close(self) -> None:
        """Let the file go."""
        self._raster.close()

    def __enter__(self) -> Shrunk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
