"""One stretch for a whole scene: the samples of each band become 8 bits by one straight line, in every window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .stretch import FULL_RANGE as FULL_RANGE
from .stretch import STRETCH_PERCENTILES, BoolArray, UInt8Array, for_bands
from .stretch import Ends as Ends


def ends_of(values: NDArray[Any], valid: BoolArray) -> tuple[Ends, ...] | None:
    """The 2nd and 98th percentile of each band of samples (height, width, bands) where they are valid.

    The least and greatest where the two are equal; None where no pixel is valid. Valid samples are finite.
    """
    present = values[valid]
    if not len(present):
        return None
    found = []
    for band in present.T:
        low, high = (float(value) for value in np.percentile(band, STRETCH_PERCENTILES, method="nearest"))
        found.append((low, high) if low < high else (float(band.min()), float(band.max())))
    return tuple(found)


def stretched(
    values: NDArray[Any], ends: Sequence[Ends], onto: Sequence[Ends] = FULL_RANGE, inverted: bool = False
) -> UInt8Array:
    """Samples (height, width, bands) as uint8 of the same shape: `ends` become `onto`, a pair for each band.

    `inverted` samples count from white: the greater, the darker. Samples that are not finite become 0.
    """
    out = np.empty(values.shape, np.uint8)
    for band, ((low, high), (dark, bright)) in enumerate(zip(ends, for_bands(onto, len(ends)), strict=True)):
        slope = (bright - dark) / (high - low) if high > low else 0.0
        samples = values[..., band].astype(np.float64)
        line = dark + ((high - samples) if inverted else (samples - low)) * slope
        line = np.rint(np.clip(line, 0.0, 255.0))
        out[..., band] = np.where(np.isfinite(line), line, 0.0)
    return out
