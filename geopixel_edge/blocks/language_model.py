"""Large Language Model (paper block 3): embeddings in, logits and hidden states out, the KV cache kept in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arrays import F32, Array
from ..engine.manifest import Sizes
from ..errors import EngineCorruptError, InferenceError
from ..runtimes import BlockRunner, State


class TokenEmbeddings:
    """The embedding table, memory-mapped: only the rows asked for are read."""

    def __init__(self, path: Path, sizes: Sizes) -> None:
        try:
            self.table = np.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # NumPy's header reader raises nearly any class on damaged bytes
            raise EngineCorruptError(f"{path} is not a NumPy table: {error}; export the engine again") from None
        found, wanted = (self.table.shape, self.table.dtype.name), (sizes.vocabulary, sizes.hidden)
        if found not in ((wanted, "float32"), (wanted, "float16")):
            raise EngineCorruptError(f"{path} has shape and dtype {found}, not {wanted} float32 or float16")

    def __call__(self, token_ids: Sequence[int]) -> F32:
        """Token ids (n,) -> embeddings (n, hidden) float32."""
        rows: F32 = self.table[np.asarray(token_ids, np.int64)].astype(np.float32)
        return rows


class KVCache:
    """Keys and values of the positions read so far. `length` slots are valid of `capacity`."""

    def __init__(self, state: State, capacity: int) -> None:
        self.state, self.capacity, self.length = state, capacity, 0


class LanguageModel:
    """InternLM2 with partial LoRA; one graph serves prefill and decode."""

    def __init__(self, runner: BlockRunner, embeddings: TokenEmbeddings, sizes: Sizes) -> None:
        self.runner, self.embed, self.sizes = runner, embeddings, sizes
        names = [(f"past_{kind}_{i}", f"present_{kind}_{i}") for i in range(sizes.layers) for kind in ("key", "value")]
        self._pairs = dict(names)

    def new_cache(self, positions: int) -> KVCache:
        """An empty cache for `positions` tokens; the buffers are zeroed, since a NaN behind the mask would spread."""
        capacity = _rounded(positions)
        return KVCache(self.runner.new_state(self._pairs, {"capacity": capacity}), capacity)

    def with_room(self, cache: KVCache, positions: int, keep: int) -> KVCache:
        """The same cache cut back to its first `keep` positions, grown when it cannot hold `positions`."""
        if _rounded(positions) > cache.capacity:
            capacity = _rounded(positions)
            cache = KVCache(cache.state.grown({"capacity": capacity}, keep), capacity)
        cache.length = keep
        return cache

    def read(
        self, embeds: F32, is_image: NDArray[np.bool_], cache: KVCache, before_run: Callable[[], None] = lambda: None
    ) -> tuple[F32, F32]:
        """Append embeddings (n, hidden) to the cache in chunks.

        `is_image` (n,) marks the rows partial LoRA acts on (reference behaviour 14). Returns the logits (vocabulary,)
        and the final-normed hidden state (hidden,) of the last row. `before_run` may raise to stop between chunks.
        """
        for start in range(0, len(embeds), limits.PREFILL_CHUNK_TOKENS):
            before_run()
            stop = min(start + limits.PREFILL_CHUNK_TOKENS, len(embeds))
            positions = np.arange(cache.length, cache.length + stop - start)
            feeds: dict[str, Array] = {
                "inputs_embeds": embeds[None, start:stop],
                "position_ids": positions[None],
                "write_index": np.array([cache.length]),
                "attention_mask": (np.arange(cache.capacity) <= positions[:, None])[None, None],
                "image_rows": np.flatnonzero(is_image[start:stop]),
            }
            outputs = self.runner.run(feeds, cache.state)
            cache.length += stop - start
        logits, hidden = outputs["logits"][0], outputs["hidden"][0, -1]
        if not (np.isfinite(logits).all() and np.isfinite(hidden).all()):
            raise InferenceError("the language model gave numbers that are not finite; run `geopixel-edge verify`")
        return logits.astype(np.float32, copy=False), hidden.astype(np.float32, copy=False)

    def step(self, token_id: int, cache: KVCache) -> tuple[F32, F32]:
        """Read one generated token: logits of the next, and the hidden state where this token is the input."""
        return self.read(self.embed([token_id]), np.zeros(1, bool), cache)


def _rounded(positions: int) -> int:
    return -(-positions // limits.KV_GRANULE_TOKENS) * limits.KV_GRANULE_TOKENS
