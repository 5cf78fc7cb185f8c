"""How far a job about a scene is: one line that is written over, or lines of JSON."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from .streams import write_json
from .terminal import human_span

if TYPE_CHECKING:
    from ..scenes.result import Progress


class Line:
    """One line of progress on a terminal, written over."""

    def __init__(self) -> None:
        self._last = 0.0

    def show(self, progress: Progress) -> None:
        """Rewrite the line, at most ten times a second; other streams get nothing."""
        ended = progress.done == progress.total
        if not sys.stderr.isatty() or (time.monotonic() - self._last < 0.1 and not ended):
            return
        self._last = time.monotonic()
        pace = (
            ""
            if progress.window_s is None
            else f", {progress.window_s:.2f} s each, {human_span(progress.left_s or 0)} left"
        )
        print(
            f"\r{progress.done}/{progress.total} windows, {progress.found} parts found{pace}\x1b[K",
            end="\n" if ended else "",
            file=sys.stderr,
            flush=True,
        )


def json_lines(progress: Progress) -> None:
    """One object a line, on standard output."""
    write_json({"progress": asdict(progress)})
    sys.stdout.flush()
