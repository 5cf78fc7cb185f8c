"""Checks of arguments that several rooms share: each error names the argument, its value and the remedy."""

from __future__ import annotations

import math

import numpy as np

from . import limits
from .arrays import F32, Array
from .errors import ImageError, InferenceError, OptionError


def check_integer(name: str, value: object, low: int, high: int) -> int:
    """`value` as int when it is an integer in low..high; OptionError names it otherwise (bool is not an integer)."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise OptionError(f"{name}={value!r} is not an integer; give one from {low} to {high}")
    if not low <= value <= high:
        raise OptionError(f"{name}={value} is out of range; give an integer from {low} to {high}")
    return int(value)


def check_size(width_px: int, height_px: int) -> None:
    """ImageError when the image is empty or larger than the package's bounds."""
    if width_px < 1 or height_px < 1:
        raise ImageError(f"image of {width_px} x {height_px} px is empty; give one of at least 1 x 1")
    if max(width_px, height_px) > limits.MAX_IMAGE_SIDE_PX or width_px * height_px > limits.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"image of {width_px} x {height_px} px is too large; cut it to sides of at most {limits.MAX_IMAGE_SIDE_PX} "
            f"px and {limits.MAX_IMAGE_PIXELS} pixels in all"
        )


def finite(values: Array, what: str) -> F32:
    """The values as float32; InferenceError when one is no finite number."""
    # One pass without a copy: whatever is not finite makes the sum so too. It may also overflow, hence the second look.
    if not math.isfinite(np.add.reduce(values, axis=None)) and not np.isfinite(values).all():
        raise InferenceError(f"{what} gave numbers that are not finite; run `geopixel-edge verify`")
    return values.astype(np.float32, copy=False)
