"""What an answer cost: seconds, runs and output bytes per block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class BlockCost:
    """Cost of one block within one answer. A block whose result was reused has no entry."""

    runs: int = 0
    time_s: float = 0.0
    output_bytes: int = 0


@dataclass
class Timings:
    """`blocks` by stage: the five blocks, the language model split into prefill and decode."""

    blocks: dict[str, BlockCost] = field(default_factory=dict)
    prompt_tokens: int = 0
    reused_tokens: int = 0
    new_tokens: int = 0
    first_token_s: float | None = None
    total_s: float = 0.0

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Tokens per second of the decode steps alone; None before the first."""
        decode = self.blocks.get("language_model.decode")
        return decode.runs / decode.time_s if decode and decode.time_s > 0 else None

    @contextmanager
    def measure(self, stage: str) -> Iterator[BlockCost]:
        """Add one run's wall time to a stage; the caller adds the bytes it produced."""
        cost = self.blocks.setdefault(stage, BlockCost())
        start = time.perf_counter()
        try:
            yield cost
        finally:
            cost.runs += 1
            cost.time_s += time.perf_counter() - start

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "decode_tokens_per_s": self.decode_tokens_per_s}
