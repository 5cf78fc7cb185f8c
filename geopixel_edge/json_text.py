"""JSON as the standard has it: UTF-8 whatever the locale, and without the NaN and infinity that Python would write."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def finite(value: float) -> float | None:
    """The number itself, or None where JSON has no word for it (NaN, the infinities)."""
    return value if math.isfinite(value) else None


def encode_json(value: Any, indent: int | None = None) -> bytes:
    """One document and a newline; numbers that are not finite become null.

    A lone surrogate, as in a file name that is not Unicode, stays an escape.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return (text + "\n").encode("utf-8", "backslashreplace")


def plain(value: Any) -> Any:
    """A copy with every number that is not finite as None and every tuple as list."""
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value
