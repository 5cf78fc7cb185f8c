"""Small parts that SAM 2's trunk and mask decoder share; attribute names are the checkpoint's key names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopixel_edge.errors import CheckpointError

# Query-key pairs of one head: 64 MiB of float32 scores at the 8 heads of Hiera-L's global blocks, where all pairs of
# 64 x 64 patches would take 512 MiB.
MOST_SCORES = 512 * 4096


def section(sam2: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """`sam2[name]`, proved to hold `keys`; CheckpointError names what is missing."""
    found = sam2.get(name)
    if not isinstance(found, Mapping):
        raise CheckpointError(f"sam2_config has no section {name!r}; correct the checkpoint's config.json")
    missing = [key for key in keys if key not in found]
    if missing:
        raise CheckpointError(f"sam2_config[{name!r}] lacks {missing}; add them to the checkpoint's config.json")
    return found


def only(name: str, value: object, supported: object) -> None:
    """CheckpointError unless a configuration `value` is the one this exporter writes."""
    if value != supported:
        raise CheckpointError(f"sam2_config {name}={value!r} is not supported; GeoPixel's SAM 2 has {supported!r}")


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax attention over (batch, heads, tokens, width) tensors; batches of 1 broadcast; `bias` is added to scores.

    The query is scaled before the product, so that half-precision scores stay in range.
    """
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return torch.softmax(scores if bias is None else scores + bias, dim=-1) @ value


def attend_in_parts(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`attend` with the scores of at most MOST_SCORES query-key pairs of a head in memory at once.

    The parts are runs of queries, a number that is fixed when the module is traced.
    """
    queries = max(1, MOST_SCORES // key.shape[-2])
    if query.shape[-2] <= queries:
        return attend(query, key, value)
    return torch.cat([attend(part, key, value) for part in query.split(queries, dim=-2)], dim=-2)


class Mlp(nn.Module):
    """`depth` linear layers with an activation between them: (..., width_in) -> (..., width_out)."""

    def __init__(self, width_in: int, hidden: int, width_out: int, depth: int, activation: nn.Module) -> None:
        super().__init__()
        widths = [width_in, *[hidden] * (depth - 1), width_out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Last layer without activation."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        last: Tensor = self.layers[-1](x)
        return last


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (batch, channels, height, width).

    Written channels-last, so that ONNX gets one LayerNormalization with float32 statistics at any precision.
    """

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], self.weight, self.bias, self.epsilon).permute(0, 3, 1, 2)
