"""The token-embedding table of the Large Language Model, read from disk row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..arrays import F32
from ..engine.manifest import Sizes
from ..errors import EngineCorruptError

SCALE_BYTES = 4  # of an int8 row: behind its numbers lies their float32 scale


class TokenEmbeddings:
    """The embedding table, memory-mapped: only the rows asked for are read. `hidden` is how many numbers a row has."""

    def __init__(self, path: Path, sizes: Sizes) -> None:
        try:
            self.table = np.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # NumPy's header reader raises nearly any class on damaged bytes
            raise EngineCorruptError(f"{path} is not a NumPy table: {error}; export the engine again") from None
        found, wanted = (self.table.shape, self.table.dtype.name), (sizes.vocabulary, sizes.hidden)
        rounded = (sizes.vocabulary, sizes.hidden + SCALE_BYTES), "int8"
        if found not in ((wanted, "float32"), (wanted, "float16"), rounded):
            raise EngineCorruptError(f"{path} has shape and dtype {found}, not {wanted} float32 or float16")
        self.hidden, self._rounded = sizes.hidden, found == rounded
        self._rows = np.asarray(self.table)  # the same memory, without what indexing a memmap costs

    def __call__(self, token_ids: Sequence[int]) -> F32:
        """Token ids (n,) -> embeddings (n, hidden) float32."""
        taken = self._rows.take(token_ids, axis=0)
        if self._rounded:
            scales = taken[:, self.hidden :].copy().view("<f4")
            taken = taken[:, : self.hidden] * scales
        rows: F32 = taken.astype(np.float32, copy=False)
        return rows
