"""Sizes of a language model, and the arithmetic and bytes that one pass over it costs at least."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shapes:
    """Sizes of a decoder with grouped queries and a gated feed-forward."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def layer_weights(self) -> int:
        """Numbers in the seven matrices of one layer, without low-rank updates."""
        attention = self.hidden * (2 * self.heads + 2 * self.kv_heads) * self.head_dim
        return attention + 3 * self.hidden * self.intermediate

    @property
    def head_weights(self) -> int:
        """Numbers in the output head."""
        return self.hidden * self.vocabulary

    def prefill_flop(self, rows: int) -> float:
        """Operations of reading `rows` prompt rows from an empty cache, logits of the last alone; 2 a multiply-add."""
        attention = 2 * self.layers * self.heads * self.head_dim * rows * (rows + 1)
        return 2.0 * rows * self.layers * self.layer_weights + attention + 2.0 * self.head_weights

    def kv_bytes(self, positions: int, number_bytes: int) -> int:
        """Bytes of the keys and values of one sequence."""
        return 2 * self.layers * self.kv_heads * self.head_dim * positions * number_bytes


GEOPIXEL_7B = Shapes(hidden=4096, intermediate=14336, layers=32, heads=32, kv_heads=8, vocabulary=92547)
