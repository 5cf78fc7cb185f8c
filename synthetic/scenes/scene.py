"""A finished scene: the picture, and every thing in it with the exact pixels that are seen of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import SCALE, Canvas, Thing

MIN_VISIBLE_PX = 4  # things of which less is seen are given back to the ground


@dataclass(frozen=True, eq=False)
class Instance:
    """One thing. `bbox` is x, y, width, height in pixels; `crop` its mask inside the box, bool (height, width).

    `area_px` counts visible pixels; `full_area_px` is the whole outline's area, so their ratio says how much is
    hidden or outside. `colour` is None where a colour is not worth naming.
    """

    number: int
    class_name: str
    colour: str | None
    kind: str
    bbox: tuple[int, int, int, int]
    centre: tuple[float, float]
    area_px: int
    full_area_px: float
    side_px: int
    crop: NDArray[np.bool_]

    @property
    def size(self) -> float:
        """The thing's own size, hidden parts included, in square pixels."""
        return max(self.full_area_px, float(self.area_px))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool (side_px, side_px): the visible pixels."""
        x, y, width, height = self.bbox
        full = np.zeros((self.side_px, self.side_px), np.bool_)
        full[y : y + height, x : x + width] = self.crop
        return full


@dataclass(frozen=True, eq=False)
class Scene:
    """`image` is uint8 (side, side, 3); `owners`, int32 (side, side), each pixel's instance number, 0 for ground."""

    seed: int
    kind: str
    gsd: float
    image: NDArray[np.uint8]
    owners: NDArray[np.int32]
    instances: tuple[Instance, ...]

    @property
    def side_px(self) -> int:
        """Width and height in pixels."""
        return int(self.image.shape[0])

    def mask(self, instances: tuple[Instance, ...] | list[Instance]) -> NDArray[np.bool_]:
        """bool (side, side): the visible pixels of all of these together."""
        chosen = np.zeros(int(self.owners.max(initial=0)) + 1, np.bool_)
        chosen[[instance.number for instance in instances]] = True
        return chosen[self.owners]


def shrink_owners(canvas: Canvas) -> NDArray[np.int32]:
    """int32 (side, side): who owns most of each pixel's four parts."""
    fine = np.asarray(canvas.owners)
    parts = [np.ascontiguousarray(fine[row::SCALE, column::SCALE]) for row in (0, 1) for column in (0, 1)]
    mixed = (parts[0] != parts[1]) | (parts[0] != parts[2]) | (parts[0] != parts[3])
    a, b, c, d = (part[mixed] for part in parts)
    second = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    owners = parts[0].copy()
    owners[mixed] = np.where((a == b) | (a == c) | (a == d), a, second)
    return owners


def collect(owners: NDArray[np.int32], things: list[Thing]) -> tuple[NDArray[np.int32], tuple[Instance, ...]]:
    """Instances of all things that are seen; numbers stay those of the drawing. Slivers go back to the ground."""
    side = owners.shape[0]
    flat = owners.ravel()
    seen = np.flatnonzero(flat)
    order = seen[np.argsort(flat[seen].astype(np.uint16), kind="stable")]
    numbers, starts, counts = np.unique(flat[order], return_index=True, return_counts=True)
    rows, columns = np.divmod(order, side)
    found, lost = [], np.zeros(len(things) + 1, np.bool_)
    for number, start, count in zip(numbers.tolist(), starts.tolist(), counts.tolist(), strict=True):
        if count < MIN_VISIBLE_PX:
            lost[number] = True
            continue
        y, x = rows[start : start + count], columns[start : start + count]
        top, left = int(y[0]), int(x.min())  # the order within a number is that of the rows
        crop = np.zeros((int(y[-1]) - top + 1, int(x.max()) - left + 1), np.bool_)
        crop[y - top, x - left] = True
        thing = things[number - 1]
        centre = float(x.mean()) + 0.5, float(y.mean()) + 0.5
        bbox = left, top, crop.shape[1], crop.shape[0]
        found.append(
            Instance(number, thing.class_name, thing.colour, thing.kind, bbox, centre, count, thing.area_px, side, crop)
        )
    return np.where(lost[owners], 0, owners).astype(np.int32), tuple(found)
