"""Meters: wall time over repeats, peak memory of a phase, and how fast this machine copies memory."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType

import numpy as np
import psutil

SAMPLE_S = 0.001
# Twice this is read and written; it exceeds the last-level cache of every machine this runs on.
COPY_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Measurement:
    """One phase: seconds over `runs` runs after one that is not counted, and resident memory while it ran.

    `peak_bytes` is the process's highest resident memory during the phase, `growth_bytes` how much of it is above
    where the phase began. Runtimes keep memory they once took, so a phase that comes later can grow by less.
    """

    name: str
    runs: int
    median_s: float
    min_s: float
    max_s: float
    peak_bytes: int
    growth_bytes: int


class PeakMemory:
    """Samples this process's resident memory every millisecond while the context is open; shorter peaks are missed."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.start_bytes = self.peak_bytes = 0

    def _read(self) -> int:
        resident: int = self._process.memory_info().rss
        return resident

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, self._read())

    def __enter__(self) -> PeakMemory:
        self.start_bytes = self.peak_bytes = self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak_bytes = max(self.peak_bytes, self._read())


def summarise(name: str, seconds: list[float], memory: PeakMemory) -> Measurement:
    """The measurement of a phase whose runs took `seconds`."""
    return Measurement(
        name,
        len(seconds),
        statistics.median(seconds),
        min(seconds),
        max(seconds),
        memory.peak_bytes,
        memory.peak_bytes - memory.start_bytes,
    )


def measure(name: str, action: Callable[[], object], repeat: int, warm_up: bool = True) -> Measurement:
    """Time `action` `repeat` times, one uncounted run before them; memory covers all of them."""
    seconds = []
    with PeakMemory() as memory:
        if warm_up:
            action()
        for _ in range(repeat):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
    return summarise(name, seconds, memory)


def copy_bytes_per_s(threads: int, size_bytes: int = COPY_BYTES, repeat: int = 3) -> float:
    """Best rate of reading plus writing memory with `threads` threads, each copying its part of `size_bytes`."""
    source, target = np.ones(size_bytes, np.uint8), np.zeros(size_bytes, np.uint8)
    edges = np.linspace(0, size_bytes, threads + 1).astype(int)
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeat + 1):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))
            best = min(best, time.perf_counter() - start)
    return 2 * size_bytes / best
