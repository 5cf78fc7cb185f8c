"""The token-embedding table of the Large Language Model, read from disk row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..arrays import F32
from ..engine.manifest import Sizes
from ..errors import EngineCorruptError


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
        self._rows = np.asarray(self.table)  # the same memory, without what indexing a memmap costs

    def __call__(self, token_ids: Sequence[int]) -> F32:
        """Token ids (n,) -> embeddings (n, hidden) float32."""
        rows: F32 = self._rows.take(token_ids, axis=0).astype(np.float32, copy=False)
        return rows
