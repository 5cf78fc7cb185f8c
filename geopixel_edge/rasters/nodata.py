"""Values that mark missing pixels: read as GDAL reads them, and found among the samples."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?)|nan", re.IGNORECASE)
_ROWS = 256


def parse_nodata(text: str, dtype: npt.DTypeLike) -> float | None:
    """The number that a nodata text means for samples of a dtype, or None where it can mark no pixel of it.

    Integers lose their fraction and floats are rounded to the dtype, as in GDAL.
    """
    kind = np.dtype(dtype)
    if not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return float(np.array(value).astype(kind))
    ends = np.iinfo(kind)
    return float(int(value)) if np.isfinite(value) and ends.min <= value <= ends.max else None


def equals_nodata(values: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    """Where all bands of (height, width[, bands]) equal the value: bool, (height, width).

    Floats within 4 units in the last place are equal, as in GDAL; NaN equals NaN.
    """
    found = np.empty(values.shape[:2], np.bool_)
    for top in range(0, values.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        block = values[rows]
        same = _same(block, nodata)
        found[rows] = same if same.ndim == 2 else same.all(axis=2)
    return found


def _same(block: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    if block.dtype.kind != "f":
        return np.equal(block, int(nodata))
    if np.isnan(nodata):
        return np.isnan(block)
    with np.errstate(over="ignore", invalid="ignore"):
        marker = block.dtype.type(nodata)
        near = np.abs(block - marker) < np.finfo(block.dtype).eps * np.abs(block + marker) * 2
    return np.equal(block, marker) | near
