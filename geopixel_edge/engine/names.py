"""Names of inputs that more than one room must know."""

from __future__ import annotations

# Of the language model's ready form: each sequence's positions after a run, less one; the most positions of any.
SEQLENS_K = "seqlens_k"
TOTAL_LENGTH = "total_sequence_length"
