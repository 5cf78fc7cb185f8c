"""llama.cpp as a peer: a model of the same shapes at Q4_0 with random numbers, decoded and prefilled by its own API.

The model is a plain Llama: GeoPixel's low-rank updates act on image rows only, which llama.cpp has no operator for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from geopixel_edge.arrays import Array

from .shapes import Shapes

_ROWS_AT_ONCE = 512  # what llama.cpp reads of a prompt in one piece


def write_gguf(path: Path, shapes: Shapes) -> None:
    """A random model: matrices at Q4_0, the output head at Q8_0, norms float32; no vocabulary but its size."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama", use_temp_file=False)
    writer.add_context_length(32768)
    writer.add_embedding_length(shapes.hidden)
    writer.add_block_count(shapes.layers)
    writer.add_feed_forward_length(shapes.intermediate)
    writer.add_head_count(shapes.heads)
    writer.add_head_count_kv(shapes.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e6)
    writer.add_rope_dimension_count(shapes.head_dim)
    writer.add_vocab_size(shapes.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    random = np.random.default_rng(0)
    for name, outputs, inputs in _matrices(shapes):
        kind = gguf.GGMLQuantizationType.Q8_0 if name == "output" else gguf.GGMLQuantizationType.Q4_0
        writer.add_tensor(f"{name}.weight", _blocks(random, outputs, inputs, name == "output"), raw_dtype=kind)
    norms = [f"blk.{index}.{part}_norm" for index in range(shapes.layers) for part in ("attn", "ffn")]
    for name in [*norms, "output_norm"]:
        writer.add_tensor(f"{name}.weight", np.ones(shapes.hidden, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _matrices(shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """Name, outputs and inputs of every matrix."""
    hidden, inner, kv = shapes.hidden, shapes.intermediate, shapes.kv_heads * shapes.head_dim
    yield "token_embd", shapes.vocabulary, hidden
    for index in range(shapes.layers):
        for part, outputs, inputs in (
            ("attn_q", hidden, hidden),
            ("attn_k", kv, hidden),
            ("attn_v", kv, hidden),
            ("attn_output", hidden, hidden),
            ("ffn_gate", inner, hidden),
            ("ffn_up", inner, hidden),
            ("ffn_down", hidden, inner),
        ):
            yield f"blk.{index}.{part}", outputs, inputs
    yield "output", shapes.vocabulary, hidden


def _blocks(random: np.random.Generator, outputs: int, inputs: int, whole_bytes: bool) -> Array:
    """Blocks of 32 numbers: a float16 scale, then bytes or nibbles."""
    numbers = 32 if whole_bytes else 16
    blocks = random.integers(0, 256, (outputs * inputs // 32, 2 + numbers), np.uint8)
    scale = np.float16(0.02 / (64 if whole_bytes else 4))
    blocks[:, :2] = np.frombuffer(scale.tobytes(), np.uint8)
    return blocks.reshape(outputs, -1)


class LlamaCpp:
    """A loaded model and a context for `sequences` sequences of at most `capacity` positions each, float16 KV cache."""

    kv_dtype = "float16"

    def __init__(self, path: Path, threads: int, capacity: int, sequences: int = 1) -> None:
        import llama_cpp

        self._api: Any = llama_cpp
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
        if not self._model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max = capacity * sequences, sequences
        params.n_batch = params.n_ubatch = _ROWS_AT_ONCE
        params.n_threads = params.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            raise RuntimeError(f"llama.cpp makes no context of {capacity} positions")
        self._batch = llama_cpp.llama_batch_init(_ROWS_AT_ONCE, 0, 1)
        self._lengths = [0] * sequences

    def _decode(self, rows: list[tuple[int, int]], last_logits: bool) -> None:
        """One call: rows of (sequence, position), logits of the last of each sequence asked for."""
        batch = self._batch
        batch.n_tokens = len(rows)
        for index, (sequence, position) in enumerate(rows):
            batch.token[index], batch.pos[index] = 17, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            follows = index + 1 < len(rows) and rows[index + 1][0] == sequence
            batch.logits[index] = 1 if last_logits and not follows else 0
        if self._api.llama_decode(self._context, batch):
            raise RuntimeError(f"llama.cpp does not decode {len(rows)} rows")

    def prefill(self, rows: int, sequence: int = 0) -> None:
        """Read rows behind what a sequence holds, in pieces, logits of the last."""
        start, stop = self._lengths[sequence], self._lengths[sequence] + rows
        for first in range(start, stop, _ROWS_AT_ONCE):
            last = min(first + _ROWS_AT_ONCE, stop)
            self._decode([(sequence, position) for position in range(first, last)], last == stop)
        self._lengths[sequence] = stop

    def step(self) -> None:
        """One token of every sequence."""
        self._decode([(sequence, position) for sequence, position in enumerate(self._lengths)], True)
        self._lengths = [length + 1 for length in self._lengths]

    def clear(self) -> None:
        """Forget everything read."""
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)
        self._lengths = [0] * len(self._lengths)

    def close(self) -> None:
        """Free context and model."""
        self._api.llama_batch_free(self._batch)
        self._api.llama_free(self._context)
        self._api.llama_model_free(self._model)


@contextmanager
def opened(path: Path, threads: int, capacity: int, sequences: int = 1) -> Iterator[LlamaCpp]:
    """The peer while the context is open."""
    peer = LlamaCpp(path, threads, capacity, sequences)
    try:
        yield peer
    finally:
        peer.close()
