"""Ten digits of 5 x 7 pixels, so that a number looks the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 5, 7
# Seven rows from the top; five bits each, the left pixel the highest.
_ROWS = (
    (14, 17, 19, 21, 25, 17, 14),
    (4, 12, 4, 4, 4, 4, 14),
    (14, 17, 1, 2, 4, 8, 31),
    (31, 2, 4, 2, 1, 17, 14),
    (2, 6, 10, 18, 31, 2, 2),
    (31, 16, 30, 1, 1, 17, 14),
    (6, 8, 16, 30, 17, 17, 14),
    (31, 1, 2, 4, 8, 8, 8),
    (14, 17, 17, 14, 17, 17, 14),
    (14, 17, 17, 15, 1, 2, 12),
)


def number(value: int, scale: int) -> NDArray[np.bool_]:
    """The digits of a number, bool (height, width), each font pixel `scale` pixels wide, with a rim of one such."""
    digits = [_ROWS[int(digit)] for digit in str(value)]
    columns = [np.array([[row >> bit & 1 for bit in (4, 3, 2, 1, 0)] for row in rows], np.bool_) for rows in digits]
    spaced = [part for glyph in columns for part in (glyph, np.zeros((HEIGHT_PX, 1), np.bool_))][:-1]
    small = np.pad(np.concatenate(spaced, axis=1), 1)
    return np.repeat(np.repeat(small, scale, axis=0), scale, axis=1)
