"""Samples of a window and which of its pixels are missing, by the rules of docs/georeferenced.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bands import Bands
from .nodata import equals_nodata
from .stretch import BoolArray

# x, y, width, height in pixels of the scene
Box = tuple[int, int, int, int]
# The same, where edges may lie within pixels.
Part = tuple[float, float, float, float]
# A decimated picture is put together of squares of so many of its own pixels; of rows where blocks are whole rows.
_PART_PX = 256
# Of so many blocks it is remembered, a byte each, whether they were written.
_MOST_BLOCKS, _WRITTEN, _MISSING = 16_777_216, 1, 2


@dataclass(frozen=True, eq=False)
class Samples:
    """`values` (height, width, bands) as stored, of the bands that are shown; `valid` and `alpha` (height, width)."""

    values: NDArray[Any]
    valid: BoolArray
    alpha: NDArray[Any] | None


class SampleReader:
    """Reads the bands that are shown of one open dataset, and decides which pixels are missing."""

    def __init__(self, dataset: Any, bands: Bands) -> None:
        self.dataset, self.bands = dataset, bands
        self.numbers = [*bands.numbers, *([bands.alpha] if bands.alpha else [])]
        flags = [flag.name for flag in dataset.mask_flag_enums[bands.numbers[0] - 1]]
        self.masked = "per_dataset" in flags and bands.alpha is None
        self.nodata = tuple(_nodata(dataset, number) for number in bands.numbers)
        self.dtype = np.dtype(dataset.dtypes[bands.numbers[0] - 1])
        self._tiled = bool(dataset.profile.get("tiled"))
        self._together = str(self.dataset.profile.get("interleave")) == "pixel"  # a block holds all bands
        rows, columns = dataset.block_shapes[bands.numbers[0] - 1]
        self._across = -(-dataset.width // columns)
        self._blocks = bytearray(min(self._across * -(-dataset.height // rows), _MOST_BLOCKS))
        self._sparse = self._tiled and not self.masked and self._unwritten_is_missing()

    def read(self, box: Box | Part, size: tuple[int, int] | None = None, average: bool = False) -> Samples:
        """The samples of a box; `size` (width, height) decimates it, by the nearest pixel or by their average."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        (x, y, w, h), (columns, rows) = box, size or (int(box[2]), int(box[3]))
        how = Resampling.average if average else Resampling.nearest
        window = Window(x, y, w, h)
        read = self.dataset.read(
            self.numbers, window=window, out_shape=(len(self.numbers), rows, columns), resampling=how
        )
        shown = len(self.bands.numbers)
        values = np.moveaxis(read[:shown], 0, 2)
        alpha = read[shown] if self.bands.alpha else None
        valid = np.ones((rows, columns), np.bool_) if alpha is None else alpha != 0
        if self.masked:
            mask = self.dataset.read_masks(
                self.bands.numbers[0], window=window, out_shape=(rows, columns), resampling=how
            )
            valid &= mask != 0
        valid &= ~self._without_data(values)
        return Samples(values, valid, alpha)

    def decimated(self, longest_px: int, average: bool = False) -> Samples:
        """The whole raster, every n-th pixel or their average, n the least that keeps both sides within `longest_px`.

        Parts of a file that were never written are not read.
        """
        width, height = int(self.dataset.width), int(self.dataset.height)
        every = max(1, -(-max(width, height) // longest_px))
        columns, rows = -(-width // every), -(-height // every)
        values = np.zeros((rows, columns, len(self.bands.numbers)), self.dtype)
        valid = np.zeros((rows, columns), np.bool_)
        alpha = np.zeros((rows, columns), self.dataset.dtypes[self.bands.alpha - 1]) if self.bands.alpha else None
        across = _PART_PX if self._tiled else columns
        for top in range(0, rows, _PART_PX):
            for left in range(0, columns, across):
                right, bottom = min(left + across, columns), min(top + _PART_PX, rows)
                x, y = left * every, top * every
                box = (x, y, min(right * every, width) - x, min(bottom * every, height) - y)
                if not self.stored(box):
                    continue
                part = self.read(box, (right - left, bottom - top), average and every > 1)
                values[top:bottom, left:right], valid[top:bottom, left:right] = part.values, part.valid
                if alpha is not None:
                    alpha[top:bottom, left:right] = part.alpha
        return Samples(values, valid, alpha)

    def stored(self, box: Box) -> bool:
        """False where no block under a box was ever written and such pixels are missing: it needs no reading."""
        if not self._sparse:
            return True
        x, y, w, h = box
        rows, columns = self.dataset.block_shapes[self.numbers[0] - 1]
        return any(
            self._written(row, column)
            for row in range(y // rows, -(-(y + h) // rows))
            for column in range(x // columns, -(-(x + w) // columns))
        )

    def _written(self, row: int, column: int) -> bool:
        """Whether a block of any band that is read was ever written; the file is asked once."""
        number = row * self._across + column
        if number < len(self._blocks) and self._blocks[number]:
            return self._blocks[number] == _WRITTEN
        name, bands = f"BLOCK_OFFSET_{column}_{row}", self.numbers[:1] if self._together else self.numbers
        found = any(self.dataset.get_tag_item(name, "TIFF", bidx=band) is not None for band in bands)
        if number < len(self._blocks):
            self._blocks[number] = _WRITTEN if found else _MISSING
        return found

    def _unwritten_is_missing(self) -> bool:
        """GDAL fills what was never written with nodata, or with 0 where there is none."""
        return None not in self.nodata or (self.bands.alpha is not None and set(self.nodata) == {None})

    def _without_data(self, values: NDArray[Any]) -> BoolArray:
        """Where every band has its nodata, or any is not finite: a 0 in one band of a dark roof is data."""
        missing = np.zeros(values.shape[:2], np.bool_)
        known = [nodata for nodata in self.nodata if nodata is not None]
        if len(known) == values.shape[2]:
            every = np.ones(values.shape[:2], np.bool_)
            for band, nodata in enumerate(known):
                every &= equals_nodata(values[..., band], nodata)
            missing |= every
        if values.dtype.kind == "f":
            missing |= ~np.isfinite(values).all(axis=2)
        return missing


def _nodata(dataset: Any, number: int) -> float | None:
    """The nodata value of a band, None without one or where it can be no sample of the band's type."""
    found, kind = dataset.nodatavals[number - 1], np.dtype(dataset.dtypes[number - 1])
    if found is None or kind.kind not in "fiu":
        return None
    if kind.kind == "f":
        return float(found)
    ends = np.iinfo(kind)
    return float(found) if np.isfinite(found) and ends.min <= found <= ends.max else None
