"""A checkpoint with the weights that an int8 or int4 engine stores, so that torch can be asked what they give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from geopixel_edge.build.matrices import Dense
from geopixel_edge.engine.manifest import Precision

from .checkpoint import Checkpoint
from .embeddings import embeddings_as
from .int8 import MIN_NUMBERS, quantise
from .keys import EMBEDDINGS_KEY
from .language_model_graph import CheckpointWeights

_ROWS_AT_ONCE = 8192
# Module -> axis of its weight along which the output channels lie.
_AXES = {nn.Linear: 0, nn.Conv2d: 0, nn.ConvTranspose2d: 1}


def rounded(weight: Tensor, axis: int) -> Tensor:
    """The float32 values that int8 with a scale for each channel along `axis` stands for."""
    found = torch.empty(weight.shape, dtype=torch.float32)
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    rows = _ROWS_AT_ONCE if axis == 0 else len(weight)  # channels do not depend on each other
    for wide, part in zip(weight.split(rows), found.split(rows), strict=True):
        numbers, scale = quantise(wide.float().numpy(), axis)
        np.multiply(numbers, scale.reshape(shape), out=part.numpy())
    return found


class RoundedCheckpoint(Checkpoint):
    """A checkpoint whose tensors and modules hold what an engine stores that has blocks at these precisions."""

    def __init__(self, original: Checkpoint, precisions: Mapping[str, Precision]) -> None:
        self.__dict__.update(original.__dict__)
        self._rounded = {name: one for name, one in precisions.items() if one.weights in ("int8", "int4")}
        self._matrices: dict[str, str] = {}
        if "language_model" in self._rounded:
            self._stored = CheckpointWeights(original, self._rounded["language_model"])
            names = self.claims["language_model"]
            self._matrices = {key: name for name, key in names.items() if len(original.shape(key)) == 2}

    def tensor(self, key: str) -> Tensor:
        """The language model's matrices rounded, and token embeddings as they are written; all else as stored."""
        if key in self._matrices:
            matrix = self._stored.unordered(self._matrices[key])
            return torch.from_numpy(matrix.values if isinstance(matrix, Dense) else matrix.widened())
        value = super().tensor(key)
        if key != EMBEDDINGS_KEY or "language_model" not in self._rounded:
            return value
        return rounded(value, 0) if embeddings_as(self._rounded["language_model"]) == "int8" else value.half()

    def load(self, block: str) -> nn.Module:
        """The block with the weights of its products and convolutions rounded."""
        module = super().load(block)
        if block not in self._rounded:
            return module
        for part in module.modules():
            axis = next((axis for kind, axis in _AXES.items() if isinstance(part, kind)), None)
            weight = None if axis is None else part.get_parameter("weight").detach()
            if axis is not None and weight is not None and weight.numel() >= MIN_NUMBERS:
                part.register_parameter("weight", nn.Parameter(rounded(weight, axis), requires_grad=False))
        return module
