"""Samples of more than 8 bits become 8: a straight line between two percentiles of the pixels that hold data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ImageError

WHITE = 255
STRETCH_PERCENTILES = (2.0, 98.0)
_ROWS = 256

Ends = tuple[float, float]
# What the two percentiles become where an engine does not say what it learnt from.
FULL_RANGE: tuple[Ends, ...] = ((0.0, 255.0),) * 3

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


def stretch(
    values: npt.NDArray[Any], missing: list[Missing], mode: str, onto: Sequence[Ends] = FULL_RANGE
) -> tuple[UInt8Array, str]:
    """Grey (height, width) or colour (height, width, 3) as uint8 (height, width, 3), and a note that gives the ends.

    The 2nd and the 98th percentile of the values that are present become a pair of `onto`, for red, green and blue, or
    the mean of the three for grey: one pair of ends for all bands, so that colours keep their balance. Values that are
    not finite and `missing` pixels are white. Raises ImageError where
    no pixel has data.
    """
    if values.dtype.kind == "f":
        missing = [*missing, Missing(_not_finite(values), "that are not finite")]
    absent = union(missing)
    present = values if absent is None or not absent.any() else values[~absent]
    if present.size == 0:
        raise ImageError(f"mode {mode!r} holds no finite value: every pixel is missing; give an image with data")
    low, high, ends = _ends(present)
    dark, bright = np.array(for_bands(onto, 1 if values.ndim == 2 else 3)).T
    slope = (bright - dark) / (high - low) if high > low else np.zeros_like(dark)
    rgb = np.empty((*values.shape[:2], 3), np.uint8)
    for top in range(0, values.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        block = values[rows].astype(np.float64)
        if absent is not None:
            block[absent[rows]] = low
        block = block if block.ndim == 3 else block[..., None]
        rgb[rows] = np.rint(np.clip(dark + (block - low) * slope, 0.0, WHITE))
    if absent is not None:
        rgb[absent] = WHITE
    became = "0..255" if tuple(onto) == FULL_RANGE else "what the engine learnt from"
    said = [
        f"mode {mode} was stretched from {low:g}..{high:g} ({ends}) to {became}",
        *(each.note() for each in missing),
    ]
    return rgb, "; ".join(text for text in said if text)


def for_bands(onto: Sequence[Ends], bands: int) -> Sequence[Ends]:
    """The pairs of red, green and blue; for one band their mean, so that grey stays grey."""
    if bands == len(onto):
        return onto
    return [(sum(low for low, _ in onto) / len(onto), sum(high for _, high in onto) / len(onto))] * bands


def _not_finite(values: npt.NDArray[Any]) -> BoolArray:
    finite = np.isfinite(values)
    return ~(finite if finite.ndim == 2 else finite.all(axis=2))


def _ends(present: npt.NDArray[Any]) -> tuple[float, float, str]:
    low, high = (float(value) for value in np.percentile(present, STRETCH_PERCENTILES, method="nearest"))
    if low == high:
        return float(present.min()), float(present.max()), "least..greatest value"
    return low, high, "2nd..98th percentile"
