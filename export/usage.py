"""What an export took: wall time, and the most memory that it and its helper processes had resident."""

from __future__ import annotations

import time
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes(field: str = "VmRSS") -> int:
    """Resident memory of this process now, or with "VmHWM" its highest so far; mapped file pages count. 0 where the
    system does not tell."""
    if not _STATUS.is_file():
        return 0
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


class Usage:
    """Time since it was made, and the peak of the process with its children."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._with_children = 0

    def had_child(self, peak_bytes: int) -> None:
        """A child ended just now, which had this much at most, beside what this process holds."""
        self._with_children = max(self._with_children, resident_bytes() + peak_bytes)

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.monotonic() - self._start

    @property
    def peak_bytes(self) -> int:
        """The highest resident memory of this process alone, or of it and a child together; 0 where unknown."""
        return max(resident_bytes("VmHWM"), self._with_children)
