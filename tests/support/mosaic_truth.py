"""An engine that answers from the truth of a mosaic: it knows which window it is shown by the pixels alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.scene_mosaics import Mosaic
from benchmarks.scene_quality import PHRASES
from geopixel_edge.masks import Mask
from geopixel_edge.rasters.geotiff import open_raster
from geopixel_edge.scenes.asking import Answered
from geopixel_edge.scenes.views import Found
from geopixel_edge.scenes.windows import Grid

Box = tuple[int, int, int, int]


class MosaicAsker:
    """Shows of each class what lies in a window; `wrong` moves what it shows by so many pixels to the right."""

    def __init__(self, mosaic: Mosaic, window: int, overlap: int, wrong: int = 0) -> None:
        grid = Grid(mosaic.width_px, mosaic.height_px, window, overlap)
        self._mosaic, self._wrong, self._boxes = mosaic, wrong, dict[bytes, Box]()
        with open_raster(mosaic.path) as raster:
            for number in range(len(grid)):
                box = grid.box(number)
                self._boxes[self._digest(raster.read(*box).rgb)] = box

    def name(self) -> str:
        return "truth"

    def check(self, phrases: Sequence[str]) -> None:
        assert set(phrases) <= set(PHRASES)

    def describe(self, picture: NDArray[np.uint8]) -> str:
        return ""

    def ask(self, windows: Sequence[NDArray[np.uint8]], phrases: Sequence[str], describe: bool) -> list[Answered]:
        return [self._answer(self._boxes[self._digest(window)], phrases) for window in windows]

    def _answer(self, box: Box, phrases: Sequence[str]) -> Answered:
        x, y, w, h = box
        found = []
        for phrase in phrases:
            mask = np.roll(self._mosaic.masks[PHRASES[phrase]][y : y + h, x : x + w], self._wrong, axis=1)
            if mask.any():
                found.append((phrase, Found(Mask.from_array(np.ascontiguousarray(mask)), 0.9)))
        return Answered(tuple(found))

    @staticmethod
    def _digest(window: NDArray[np.uint8]) -> bytes:
        return hashlib.sha256(window.tobytes()).digest()
