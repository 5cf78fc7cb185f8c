"""What an answer cost: seconds, runs and output bytes per block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any

PREFILL, DECODE = "language_model.prefill", "language_model.decode"


@dataclass
class BlockCost:
    """Cost of one block within one answer. A block whose result was reused has no entry."""

    runs: int = 0
    time_s: float = 0.0
    output_bytes: int = 0

    def add(self, time_s: float, output_bytes: int = 0) -> None:
        """What one piece of work took and made."""
        self.time_s += time_s
        self.output_bytes += output_bytes


# Where the work that runs now is booked. Runners and kernels know what they cost, the verb that calls them for what.
_booked: ContextVar[BlockCost | None] = ContextVar("booked", default=None)


def book(time_s: float, output_bytes: int = 0) -> None:
    """Add work to the stage it is done for, if it is done for one."""
    if cost := _booked.get():
        cost.add(time_s, output_bytes)


@contextmanager
def host_work() -> Iterator[None]:
    """Book the seconds of the block, which computes on the host without a runner."""
    start = time.perf_counter()
    yield
    book(time.perf_counter() - start)


@dataclass
class Timings:
    """`blocks` by stage: the five blocks, the language model split into prefill and decode."""

    blocks: dict[str, BlockCost] = field(default_factory=dict)
    prompt_tokens: int = 0
    reused_tokens: int = 0
    new_tokens: int = 0
    drafted_tokens: int = 0  # read along because they were likely to follow
    accepted_tokens: int = 0  # of these, the answer's own: as many decode runs less
    first_token_s: float | None = None
    total_s: float = 0.0

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Tokens per second of the decode steps alone; None before the first."""
        decode = self.blocks.get(DECODE)
        return (decode.runs + self.accepted_tokens) / decode.time_s if decode and decode.time_s > 0 else None

    @contextmanager
    def stage(self, name: str, runs: int = 1) -> Iterator[None]:
        """Count a run of a stage, and book what is done in the block there."""
        cost = self.blocks.setdefault(name, BlockCost())
        cost.runs += runs
        before = _booked.set(cost)
        try:
            yield
        finally:
            _booked.reset(before)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "decode_tokens_per_s": self.decode_tokens_per_s}
