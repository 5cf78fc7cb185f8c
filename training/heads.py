"""Teaching the encoders to see. The original starts from a trained CLIP and SAM 2; here, two linear heads that name the
class of every place stand in for that. They are thrown away after training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.config import ModelConfig

from .scenes import CLASS_NAMES


class ClassHeads(nn.Module):
    """Class logits from the image tokens and from SAM 2's pyramid."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, classes = int(config.sam2["neck"]["d_model"]), 1 + len(CLASS_NAMES)
        self.tokens = nn.Linear(config.hidden, classes)
        self.pyramid = nn.ModuleList(nn.Conv2d(w, classes, 1) for w in (width, width // 4, width // 8))

    def loss(self, tokens: Tensor, pyramid: tuple[Tensor, Tensor, Tensor], classes: Tensor) -> Tensor:
        """Tile tokens (B, h, w, hidden), the encoder's three outputs, classes (B, M, M) int64 -> scalar.

        A token must tell how much of its cell each class covers; the pyramid the class of every mask cell.
        """
        embed, high_res0, high_res1 = pyramid
        side = classes.shape[-1]
        levels = [
            F.interpolate(head(level), size=(side, side), mode="bilinear")
            for head, level in zip(self.pyramid, (embed, high_res1, high_res0), strict=True)
        ]
        dense = F.cross_entropy(torch.stack(levels).sum(0), classes)
        shares = F.one_hot(classes, 1 + len(CLASS_NAMES)).permute(0, 3, 1, 2).float()
        shares = F.adaptive_avg_pool2d(shares, (tokens.shape[1], tokens.shape[2])).permute(0, 2, 3, 1)
        coarse = -(shares * self.tokens(tokens).log_softmax(-1)).sum(-1).mean()
        return dense + coarse


def tile_grid(tokens: Tensor, rows: int, cols: int) -> Tensor:
    """Tile tokens (B, rows * cols, G, G, C) -> (B, rows * G, cols * G, C)."""
    batch, _, side, _, channels = tokens.shape
    grid = tokens.reshape(batch, rows, cols, side, side, channels).transpose(2, 3)
    return torch.flatten(grid.reshape(batch, rows * side, cols, side, channels), 2, 3)
