"""What this GPU can do at most, measured by torch: matrix products in float16, and reading memory."""

from __future__ import annotations

import time
from collections.abc import Callable

_SIDE = 8192
_BYTES = 2 << 30


def measured() -> dict[str, float] | None:
    """Operations and bytes a second; None without torch for CUDA, and ratios to them are then not measured."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    square = torch.randn(_SIDE, _SIDE, device="cuda", dtype=torch.float16)
    source = torch.ones(_BYTES // 4, device="cuda")
    target = torch.empty_like(source)
    seconds = mean_s(lambda: square @ square)
    copied = mean_s(lambda: target.copy_(source))
    return {"matrix_flop_per_s": 2.0 * _SIDE**3 / seconds, "memory_bytes_per_s": 2.0 * _BYTES / copied}


def mean_s(action: Callable[[], object], runs: int = 20) -> float:
    """Mean seconds of torch's work on the GPU, after three runs that are not counted."""
    import torch

    for _ in range(3):
        action()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(runs):
        action()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / runs
