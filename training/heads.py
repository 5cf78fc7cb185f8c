"""Heads that teach the blocks to see and to point, and are thrown away after training.

The original starts from a trained CLIP, SAM 2 and language model. In their stead: what is at every place must be told
from CLIP's tokens and from SAM 2's pyramid; the language model must tell, from its states at image tokens, where they
are and what thing they belong to; and each `[SEG]` must point at the tokens that its mask covers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.config import ModelConfig

from .targets import LABELS, PLACE_WIDTH, Targets, place_code

POINTER_WIDTH = 64


class TeachingHeads(nn.Module):
    """All heads of a model; each loss is a scalar over a batch of scenes of one grid."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = int(config.sam2["neck"]["d_model"])
        self.patches = nn.Linear(config.hidden, 4 * len(LABELS))
        self.pyramid = nn.ModuleList(nn.Conv2d(w, len(LABELS) + 2, 1) for w in (width, width // 4, width // 8))
        self.places = nn.Linear(config.hidden, 2 * PLACE_WIDTH + 1)
        self.query = nn.Linear(config.hidden, POINTER_WIDTH)
        self.key = nn.Linear(config.hidden, POINTER_WIDTH)

    def token_loss(self, tokens: Tensor, targets: list[Targets]) -> Tensor:
        """Tile tokens (B, side, side, hidden): the labels of their four patches, as far as each covers them."""
        batch, side = tokens.shape[:2]
        shares = torch.stack([one.shares for one in targets]).to(tokens.device)
        shares = shares.reshape(batch, side, 2, side, 2, -1).transpose(2, 3).reshape(batch, side, side, 4, -1)
        told = self.patches(tokens).unflatten(-1, (4, -1)).float().log_softmax(-1)
        return -(shares * told).sum(-1).mean()

    def pyramid_loss(self, pyramid: tuple[Tensor, Tensor, Tensor], targets: list[Targets]) -> Tensor:
        """The encoder's three outputs: the label of every mask cell, and where the centre of the thing there is."""
        embed, high_res0, high_res1 = pyramid
        labels = torch.stack([one.labels for one in targets]).to(embed.device)
        offsets = torch.stack([one.offsets for one in targets]).to(embed.device)
        side = labels.shape[-1]
        levels = zip(self.pyramid, (embed, high_res1, high_res0), strict=True)
        told = sum(F.interpolate(head(level).float(), size=(side, side), mode="bilinear") for head, level in levels)
        assert isinstance(told, Tensor)
        known = ~offsets.isnan()
        error = F.smooth_l1_loss(told[:, -2:][known], offsets[known], beta=0.5) if known.any() else told.sum() * 0
        return F.cross_entropy(told[:, :-2], labels) + 0.5 * error

    def place_loss(self, states: Tensor, targets: list[Targets]) -> Tensor:
        """The language model's states at tile tokens (B, side, side, hidden): where each is, and its thing's centre."""
        side, device = states.shape[1], states.device
        told = self.places(states).float()
        middles = (torch.stack(torch.meshgrid(*[torch.arange(side)] * 2, indexing="xy"), -1) + 0.5) / side
        here = torch.from_numpy(place_code(middles.double().numpy())).to(device)
        centres = torch.stack([one.centres for one in targets]).to(device)
        sizes = torch.stack([one.sizes for one in targets]).to(device)
        known = ~centres[..., 0].isnan()
        loss = F.mse_loss(told[..., :PLACE_WIDTH], here.expand(len(targets), -1, -1, -1))
        if known.any():
            loss = loss + F.mse_loss(told[..., PLACE_WIDTH:-1][known], centres[known])
            loss = loss + 0.2 * F.smooth_l1_loss(told[..., -1][known], sizes[known])
        return loss

    def pointer_loss(self, pointing: list[Tensor], states: Tensor, targets: list[Targets]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden) and of tile tokens (B, side, side, hidden)."""
        parts = []
        for seg, image, one in zip(pointing, states.flatten(1, 2), targets, strict=True):
            if len(seg):
                scores = self.query(seg).float() @ self.key(image).float().T * POINTER_WIDTH**-0.5
                wanted = one.pointers.to(scores.device)
                floor = -(wanted * wanted.clamp(min=1e-9).log()).sum(-1)
                parts.append(-(wanted * scores.log_softmax(-1)).sum(-1) - floor)
        return torch.cat(parts).mean() if parts else states.sum() * 0


def tile_grid(tokens: Tensor, rows: int, cols: int) -> Tensor:
    """Tile tokens (B, rows * cols, G, G, C) -> (B, rows * G, cols * G, C)."""
    batch, _, side, _, channels = tokens.shape
    grid = tokens.reshape(batch, rows, cols, side, side, channels).transpose(2, 3)
    return torch.flatten(grid.reshape(batch, rows * side, cols, side, channels), 2, 3)


def stitched_grid(states: Tensor, side: int, rows: int, cols: int) -> Tensor:
    """States of a stitched image (B, T, C) -> those at its tile tokens (B, rows * side, cols * side, C)."""
    tiles = states[:, (side + 1) * side + 1 :]
    return tiles.unflatten(1, (rows * side, cols * side + 1))[:, :, :-1]
