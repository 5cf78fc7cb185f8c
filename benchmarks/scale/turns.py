"""Competitors timed in turn, so that a busy moment of the machine falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

# Between two competitors: worker threads of the one before stop spinning.
_PAUSE_S = 0.02


def in_turn(actions: Mapping[str, Callable[[], object]], turns: int, runs: int = 1) -> dict[str, float]:
    """Median seconds of one run of each action: `turns` turns of `runs` runs each, one uncounted run before them."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(turns + 1):
        for name, action in actions.items():
            time.sleep(_PAUSE_S)
            action()  # its own weights and code come back into the caches
            for _ in range(runs):
                start = time.perf_counter()
                action()
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}
