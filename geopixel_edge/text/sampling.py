"""Choosing the next token: greedy by default, temperature and nucleus sampling for captions."""

from __future__ import annotations

import numpy as np

from ..arrays import F32


class Sampler:
    """Draws token ids from logits (vocabulary,).

    `temperature` 0 is greedy; `top_p` keeps the fewest tokens with that probability; `seed` repeats a draw.
    """

    def __init__(self, temperature: float = 0.0, top_p: float = 1.0, seed: int | None = None) -> None:
        self.temperature, self.top_p = temperature, top_p
        self.random = np.random.default_rng(seed)

    def choose(self, logits: F32) -> int:
        """The next token id; ties go to the lowest id."""
        if self.temperature == 0:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / self.temperature
        weights = np.exp(scaled - scaled.max())
        order = np.argsort(-weights, kind="stable")
        cumulative = np.cumsum(weights[order]) / weights.sum()
        kept = order[: int(np.searchsorted(cumulative, self.top_p)) + 1]
        return int(self.random.choice(kept, p=weights[kept] / weights[kept].sum()))
