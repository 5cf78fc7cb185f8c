"""The class a region belongs to elsewhere: its phrase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..regions import Region

UNNAMED = "region"


def class_names(regions: Sequence[Region]) -> tuple[list[str], list[int]]:
    """The distinct names in the order they first appear, and the index of each region's; UNNAMED without a phrase."""
    names = [region.phrase or UNNAMED for region in regions]
    index = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return list(index), [index[name] for name in names]


def image_size(regions: Sequence[Region], size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Width, height in pixels: the answer's, or that of its masks; None where it has neither."""
    if size is None and regions:
        return regions[0].mask.width_px, regions[0].mask.height_px
    return size
