"""The token-embedding table at each dtype it may be stored at, written and read back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from export.embeddings import table_of
from geopixel_edge.blocks.embeddings import TokenEmbeddings
from geopixel_edge.engine.manifest import Dtype
from geopixel_edge.errors import EngineCorruptError

from ..support.fakes import SIZES

VALUES = np.random.default_rng(3).standard_normal((SIZES.vocabulary, SIZES.hidden)).astype(np.float32)


@pytest.mark.parametrize(("dtype", "step"), [("float32", 0.0), ("float16", 1e-3), ("int8", 1 / 254)])
def test_rows_come_back(tmp_path: Path, dtype: Dtype, step: float) -> None:
    np.save(tmp_path / "t.npy", table_of(torch.from_numpy(VALUES), dtype, "table"))
    found = TokenEmbeddings(tmp_path / "t.npy", SIZES)([3, 0, 3, 15])
    wanted = VALUES[[3, 0, 3, 15]]
    assert found.dtype == np.float32
    assert (np.abs(found - wanted) <= 1.001 * step * np.abs(wanted).max(axis=1, keepdims=True)).all()


def test_a_table_of_other_sizes_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", table_of(torch.from_numpy(VALUES), "int8", "table"))
    with pytest.raises(EngineCorruptError, match="has shape and dtype"):
        TokenEmbeddings(tmp_path / "t.npy", msgspec.structs.replace(SIZES, hidden=SIZES.hidden + 1))
