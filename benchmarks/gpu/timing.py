"""Seconds of work on a device: by events on its stream where it has one, else by the clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from geopixel_edge.runtimes import Device


def median_s(device: Device, action: Callable[[], object], repeat: int, warm_up: int = 2) -> float:
    """Median seconds of an action that queues work, from its first kernel to its last."""
    found = []
    for turn in range(warm_up + repeat):
        seconds = _once(device, action)
        if turn >= warm_up:
            found.append(seconds)
    return statistics.median(found)


def _once(device: Device, action: Callable[[], object]) -> float:
    if device.memory == "cpu":
        start = time.perf_counter()
        action()
        return time.perf_counter() - start
    from cuda.core import EventOptions, Stream

    stream: Any = Stream.from_handle(device.stream)
    device.wait()
    first = stream.record(options=EventOptions(timing_enabled=True))
    action()
    last = stream.record(options=EventOptions(timing_enabled=True))
    last.sync()
    return float(last - first) / 1000


def wall_s(device: Device, action: Callable[[], object], repeat: int, warm_up: int = 2) -> float:
    """Median seconds by the clock, from the call until everything queued is done: what a user waits for."""
    found = []
    for turn in range(warm_up + repeat):
        device.wait()
        start = time.perf_counter()
        action()
        device.wait()
        if turn >= warm_up:
            found.append(time.perf_counter() - start)
    return statistics.median(found)
