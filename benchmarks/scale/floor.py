"""The hardware's floor: how fast this machine reads memory, and how many operations a second it can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

# Larger than a language model's layers together would have to be to stay in a last-level cache.
READ_BYTES = 2 * 1024**3
_SIDE = 3072


def _best(action: Callable[[], object], repeat: int) -> float:
    seconds = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def read_bytes_per_s(threads: int, size_bytes: int = READ_BYTES, repeat: int = 4) -> float:
    """Best rate of reading memory with `threads` threads, each its own part, once."""
    source = np.ones(size_bytes // 8, np.uint64)
    edges = np.linspace(0, len(source), threads + 1).astype(int)
    parts = [source[start:stop] for start, stop in pairwise(edges)]
    with ThreadPoolExecutor(threads) as pool:
        return size_bytes / _best(lambda: list(pool.map(np.bitwise_or.reduce, parts)), repeat)


def matrix_flop_per_s(threads: int, repeat: int = 3) -> float:
    """Best rate of a square float32 matrix product by torch's BLAS; 2 operations a multiply-add."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        square = torch.rand(_SIDE, _SIDE)
        return 2.0 * _SIDE**3 / _best(lambda: square @ square, repeat)
    finally:
        torch.set_num_threads(before)
