"""Samples of more than 8 bits become 8: a straight line between two percentiles of the pixels that hold data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ImageError

WHITE = 255
STRETCH_PERCENTILES = (2.0, 98.0)
_ROWS = 256

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Missing:
    """Pixels without data, bool (height, width), and why; they become white and stay out of the percentiles."""

    pixels: BoolArray
    why: str  # e.g. "of nodata -9999", after "3 pixels"

    def note(self) -> str | None:
        """What became of them, or None where there are none."""
        count = int(np.count_nonzero(self.pixels))
        return f"{count} pixels {self.why} became white" if count else None


def union(missing: list[Missing]) -> BoolArray | None:
    """Where a pixel is missing for any reason; None for an empty list."""
    if not missing:
        return None
    pixels = missing[0].pixels
    for other in missing[1:]:
        pixels = pixels | other.pixels
    return pixels


def stretch(values: npt.NDArray[Any], missing: list[Missing], mode: str) -> tuple[UInt8Array, str]:
    """Grey (height, width) or colour (height, width, 3) as uint8 (height, width, 3), and a note that gives the ends.

    The 2nd percentile of the values that are present becomes 0 and the 98th 255: one pair for all bands, so that
    colours keep their balance. Values that are not finite and `missing` pixels are white. Raises ImageError where
    no pixel has data.
    """
    if values.dtype.kind == "f":
        missing = [*missing, Missing(_not_finite(values), "that are not finite")]
    absent = union(missing)
    present = values if absent is None or not absent.any() else values[~absent]
    if present.size == 0:
        raise ImageError(f"mode {mode!r} holds no finite value: every pixel is missing; give an image with data")
    low, high, ends = _ends(present)
    scale = 255.0 / (high - low) if high > low else 0.0
    rgb = np.empty((*values.shape[:2], 3), np.uint8)
    for top in range(0, values.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        block = values[rows].astype(np.float64)
        if absent is not None:
            block[absent[rows]] = low
        block = np.rint((np.clip(block, low, high) - low) * scale)
        rgb[rows] = block if block.ndim == 3 else block[..., None]
    if absent is not None:
        rgb[absent] = WHITE
    said = [f"mode {mode} was stretched from {low:g}..{high:g} ({ends}) to 0..255", *(each.note() for each in missing)]
    return rgb, "; ".join(text for text in said if text)


def _not_finite(values: npt.NDArray[Any]) -> BoolArray:
    finite = np.isfinite(values)
    return ~(finite if finite.ndim == 2 else finite.all(axis=2))


def _ends(present: npt.NDArray[Any]) -> tuple[float, float, str]:
    low, high = (float(value) for value in np.percentile(present, STRETCH_PERCENTILES, method="nearest"))
    if low == high:
        return float(present.min()), float(present.max()), "least..greatest value"
    return low, high, "2nd..98th percentile"
