"""What is annotated: pictures, and the things in them with their masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geopixel_edge.masks import Mask
from synthetic.expressions import MIN_VISIBLE_PART, MIN_VISIBLE_PX

Order = tuple[int, float, float, str]
MAX_INSTANCES = 20_000  # in one picture: beyond it the search for neighbours takes minutes


@dataclass(frozen=True, eq=False)
class Instance:
    """One thing. `outline_px` is the area of its whole outline, hidden parts included, where the source knows it."""

    id: int | str
    class_name: str
    mask: Mask
    outline_px: float | None = None

    @cached_property
    def crop(self) -> NDArray[np.bool_]:
        """bool (height, width) of the mask's box."""
        return self.mask.window(*self.mask.bbox)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """x, y of the middle of what is seen, in pixels from the picture's corner."""
        return centre_of(self.mask)

    @property
    def area_px(self) -> int:
        """Pixels that are seen."""
        return self.mask.area_px

    @property
    def size_px(self) -> float:
        """Its own size in square pixels, hidden parts included where they are known."""
        return max(float(self.area_px), self.outline_px or 0.0)

    @property
    def length_px(self) -> int:
        """The longer side of its box."""
        return max(self.mask.w_px, self.mask.h_px)

    @property
    def clear(self) -> bool:
        """Whether enough of it is seen to speak of it."""
        return self.area_px >= MIN_VISIBLE_PX and self.area_px >= MIN_VISIBLE_PART * self.size_px

    @property
    def order(self) -> Order:
        """By area, the largest first; of equals by place and id."""
        return -self.area_px, self.centre[1], self.centre[0], str(self.id).rjust(24)


def centre_of(mask: Mask) -> tuple[float, float]:
    """x, y of the mean of a mask's pixels; OptionError for an empty mask, which has no window."""
    crop = mask.window(*mask.bbox)
    columns, rows, area = crop.sum(axis=0), crop.sum(axis=1), mask.area_px
    x = float(columns @ np.arange(len(columns))) / area + mask.x_px + 0.5
    return x, float(rows @ np.arange(len(rows))) / area + mask.y_px + 0.5


@dataclass(frozen=True, eq=False)
class Item:
    """A picture, uint8 (height, width, 3), and what is in it; `dropped` counts what the source held and left out."""

    id: str
    image: NDArray[np.uint8]
    instances: tuple[Instance, ...]
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def width_px(self) -> int:
        """Width of the picture."""
        return int(self.image.shape[1])

    @property
    def height_px(self) -> int:
        """Height of the picture."""
        return int(self.image.shape[0])
