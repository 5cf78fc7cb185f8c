"""Names of inputs and outputs that more than one room must know."""

from __future__ import annotations

# Of the language model's ready form: each sequence's positions after a run, less one; the most positions of any.
SEQLENS_K = "seqlens_k"
TOTAL_LENGTH = "total_sequence_length"
# Of the language model: what a name begins with of the KV cache before a run, and after it.
PAST, PRESENT = "past_", "present_"
# Of the language model: which rows hold image tokens; scores of the next token.
IMAGE_ROWS, LOGITS = "image_rows", "logits"
