"""Amounts of memory as people write them."""

from __future__ import annotations

import re

import numpy as np

from ..errors import OptionError

_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MOST = 2**60


def parse_memory(memory: object) -> int | None:
    """Bytes of "6GB" (10**9), "6GiB" (2**30), "512 MB" or a whole number of bytes; None for None (no budget).

    OptionError for anything else, and for less than one byte.
    """
    if memory is None:
        return None
    found: float = -1
    if isinstance(memory, str) and (parts := _AMOUNT.fullmatch(memory)):
        number, unit, binary = parts.groups()
        found = float(number) * (1024 if binary else 1000) ** _POWER[unit.lower()]
    elif isinstance(memory, (int, np.integer)) and not isinstance(memory, bool):
        found = int(memory)
    if not 1 <= found <= _MOST:
        raise OptionError(
            f"memory={memory!r} is no amount of memory; give bytes, or a string such as '6GB' or '512MiB', or None for "
            "no budget"
        )
    return int(found)
