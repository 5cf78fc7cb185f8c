"""A checkpoint with the weights that an int8 engine stores, so that torch can be asked what they give."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .int8 import MIN_NUMBERS, quantise
from .keys import EMBEDDINGS_KEY

# Module -> axis of its weight along which the output channels lie.
_AXES = {nn.Linear: 0, nn.Conv2d: 0, nn.ConvTranspose2d: 1}


def rounded(weight: Tensor, axis: int) -> Tensor:
    """The float32 values that int8 with a scale for each channel along `axis` stands for."""
    numbers, scale = quantise(weight.float().numpy(), axis)
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    return torch.from_numpy(numbers.astype(np.float32) * scale.reshape(shape))


class RoundedCheckpoint(Checkpoint):
    """A checkpoint whose tensors and modules hold what an engine stores that has `blocks` at int8."""

    def __init__(self, original: Checkpoint, blocks: Collection[str]) -> None:
        self.__dict__.update(original.__dict__)
        self._rounded = frozenset(blocks)
        names = self.claims["language_model"] if "language_model" in blocks else {}
        self._matrices = {key for key in names.values() if len(original.shape(key)) == 2}

    def tensor(self, key: str) -> Tensor:
        """The language model's matrices rounded, and token embeddings at float16; all else as stored."""
        value = super().tensor(key)
        if key == EMBEDDINGS_KEY and "language_model" in self._rounded:
            return value.half().float()
        return rounded(value, 0) if key in self._matrices else value

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
