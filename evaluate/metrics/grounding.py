"""One image's truth or prediction, and how much its masks overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geopixel_edge.kernels.native import native
from geopixel_edge.masks import Mask

from ..errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ImageId = str | int


@dataclass(frozen=True)
class Grounding:
    """A caption, its phrases and masks. Phrases and masks may differ in number: published figures allow it.

    `scores` ranks the masks of a prediction, () where nothing does; `objects` is how many things each mask of a truth
    covers, () where unknown.
    """

    caption: str = ""
    phrases: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()
    scores: tuple[float, ...] = ()
    objects: tuple[int, ...] = ()


@dataclass(frozen=True)
class Judged:
    """An image's prediction beside its truth. DataError where their masks are not of one size."""

    image_id: ImageId
    truth: Grounding
    predicted: Grounding
    areas: tuple[float, ...] = field(default=(), compare=False)  # of the truth, where its file states them

    def __post_init__(self) -> None:
        sizes = {(mask.height_px, mask.width_px) for mask in (*self.truth.masks, *self.predicted.masks)}
        if len(sizes) > 1:
            told = " and ".join(f"{width} x {height}" for height, width in sorted(sizes))
            raise DataError(f"image {self.image_id!r} has masks of {told} px; predict at the size of its truth")

    @cached_property
    def overlaps(self) -> Overlaps:
        """Of every predicted with every true mask."""
        return Overlaps.of(self.predicted.masks, self.truth.masks)


@dataclass(frozen=True)
class Overlaps:
    """Pixels: `common` int64 (rows, columns) of both, `rows` and `columns` int64 of each."""

    common: Integers
    rows: Integers
    columns: Integers

    @classmethod
    def of(cls, rows: Sequence[Mask], columns: Sequence[Mask]) -> Overlaps:
        """Of masks of one size."""
        common = np.zeros((len(rows), len(columns)), np.int64)
        for row, one in enumerate(rows):
            for column, other in enumerate(columns):
                common[row, column] = native.rle_overlap(one.bbox, one.counts, other.bbox, other.counts)
        return cls(common, _areas(rows), _areas(columns))

    @cached_property
    def union(self) -> Integers:
        """int64 (rows, columns)."""
        return self.rows[:, None] + self.columns[None] - self.common

    def iou(self, empty: float) -> Floats:
        """float64 (rows, columns); `empty` is what two empty masks get."""
        with np.errstate(invalid="ignore"):
            return np.where(self.union == 0, empty, self.common / self.union)


def _areas(masks: Sequence[Mask]) -> Integers:
    return np.array([mask.area_px for mask in masks], np.int64)
