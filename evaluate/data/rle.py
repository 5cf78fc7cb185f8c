"""Masks as data sets store them: COCO run lengths, each with a named error where one is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from geopixel_edge.errors import OptionError
from geopixel_edge.masks import Mask

from ..errors import DataError


def mask_of(rle: object, where: str) -> Mask:
    """The mask; DataError naming `where` for anything but {"size": [h, w], "counts": ...}."""
    if not isinstance(rle, dict):
        raise DataError(f"{where} is a {type(rle).__name__}, no run lengths; polygons are not read there")
    try:
        return Mask.from_coco(rle)
    except OptionError as error:
        raise DataError(f"{where}: {error}") from None


def empty_mask(height_px: int, width_px: int) -> Mask:
    """No pixel of an image."""
    return Mask(height_px, width_px, 0, 0, 0, 0, np.zeros(0, np.uint32))


def union(masks: Sequence[Mask], height_px: int, width_px: int) -> Mask:
    """Pixels of any."""
    return reduce(Mask.__or__, masks, empty_mask(height_px, width_px))


def covered_once(masks: Sequence[Mask], height_px: int, width_px: int) -> Mask:
    """Pixels of exactly one, as RMSIN keeps them: what two parts share is lost."""
    seen = twice = empty_mask(height_px, width_px)
    for mask in masks:
        twice, seen = twice | (seen & mask), seen | mask
    return seen - twice


def resized(mask: Mask, height_px: int, width_px: int) -> Mask:
    """The nearest pixel of each, by pixel centres; the same mask where the size is right."""
    if (mask.height_px, mask.width_px) == (height_px, width_px):
        return mask
    rows = (np.arange(height_px) * 2 + 1) * mask.height_px // (2 * height_px)
    columns = (np.arange(width_px) * 2 + 1) * mask.width_px // (2 * width_px)
    return Mask.from_array(np.ascontiguousarray(mask.to_array()[rows][:, columns]))


def plain_rle(mask: Mask) -> dict[str, Any]:
    """{"size": [height, width], "counts": str}."""
    return mask.to_coco()
