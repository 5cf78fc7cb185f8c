"""What a reader of scenes offers: windows of 8-bit RGB pixels, which of them are missing, and where the scene is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .place import Place

Ends = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Window:
    """Pixels as the model sees them: `rgb` uint8 (height, width, 3), missing pixels 255; `valid` bool (height, width).

    Both arrays are the caller's.
    """

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]


class Raster(Protocol):
    """An opened scene, a context manager. One thread reads from it at a time: each thread opens its own."""

    @property
    def path(self) -> Path:
        """Absolute."""

    @property
    def width_px(self) -> int:
        """Columns."""

    @property
    def height_px(self) -> int:
        """Rows, as they are stored."""

    @property
    def place(self) -> Place:
        """Where the scene is; a Place without a map says why it is nowhere."""

    @property
    def bands(self) -> tuple[int, ...]:
        """The bands shown as red, green and blue, counted from 1; one band is shown as grey."""

    @property
    def stretch(self) -> tuple[Ends, ...] | None:
        """The (low, high) samples of each of `bands` that the stretch starts from; None for 8-bit samples."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to get from the file to its pixels, a sentence each."""

    def read(self, x: int, y: int, width: int, height: int) -> Window:
        """The pixels of columns x..x + width and rows y..y + height, all inside the scene.

        OptionError for a window that is not; ImageError where the file cannot be read there.
        """

    def shrunk(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Window:
        """The pixels x, y, width, height of the scene, parts of pixels too, averaged to `size` (width, height).

        Raises as `read`.
        """

    def overview(self, longest_side_px: int) -> Window:
        """The whole scene, decimated so that no side exceeds `longest_side_px`; never enlarged. Raises as `read`."""

    def stored(self, x: int, y: int, width: int, height: int) -> bool:
        """False where no pixel of a window holds data, as far as that is known without reading any."""

    def close(self) -> None:
        """Let the file go; later reads raise ImageError."""

    def __enter__(self) -> Raster: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
