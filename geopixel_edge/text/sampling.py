"""Choosing the next token: greedy by default, temperature and nucleus sampling for captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 is greedy; `top_p` keeps the fewest tokens with that probability; `seed` repeats a draw."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not _is_number(self.temperature) or not 0 <= self.temperature <= 100:
            raise OptionError(f"temperature={self.temperature!r} is out of range; give 0 (greedy) to 100")
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise OptionError(f"top_p={self.top_p!r} is out of range; give a number above 0, up to 1")
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0):
            raise OptionError(f"seed={self.seed!r} is not a seed; give an integer of 0 or more, or None")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


class Sampler:
    """Draws token ids from logits (vocabulary,)."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.random = np.random.default_rng(sampling.seed)

    def choose(self, logits: NDArray[np.float32]) -> int:
        """The next token id; ties go to the lowest id."""
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / self.sampling.temperature
        weights = np.exp(scaled - scaled.max())
        order = np.argsort(-weights, kind="stable")
        cumulative = np.cumsum(weights[order]) / weights.sum()
        kept = order[: int(np.searchsorted(cumulative, self.sampling.top_p)) + 1]
        return int(self.random.choice(kept, p=weights[kept] / weights[kept].sum()))
