"""The token-embedding table as an engine stores it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from geopixel_edge.engine.manifest import Dtype, Precision

from .int8 import quantise
from .onnx_file import at_dtype


def embeddings_as(precision: Precision) -> Dtype:
    """What the table is stored at beside a language model of a precision."""
    return precision.parts.get("embeddings", "float32" if precision.weights == "float32" else "float16")


def table_of(value: Tensor, dtype: Dtype, name: str) -> npt.NDArray[np.generic]:
    """The table (vocabulary, hidden) at a dtype; int8 rows have their float32 scale in four bytes behind them."""
    if dtype != "int8":
        return np.ascontiguousarray(at_dtype(value, dtype, name))
    numbers, scale = quantise(at_dtype(value, "float32", name), axis=0)
    return np.concatenate([numbers, scale.astype("<f4").view(np.int8).reshape(-1, 4)], axis=1)
