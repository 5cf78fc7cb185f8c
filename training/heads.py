"""Heads that teach the blocks to see and to point, and are thrown away after training.

The original starts from a trained CLIP, SAM 2 and language model. In their stead: what is at every place must be told
from CLIP's tokens and from SAM 2's pyramid; the language model must tell, from its states at image tokens, where they
are and what thing they belong to; and each `[SEG]` must point at the tokens that its mask covers.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from export.config import ModelConfig
from geopixel_edge.errors import CheckpointError

from .losses import coarse_loss
from .meaning import SIZES
from .targets import FACTORS, PLACE_WIDTH, Targets, place_code

HEADS_NAME = "heads.safetensors"  # beside a checkpoint's directory
POINTER_WIDTH = 64
COMMON_SIZE = -6.0  # logarithm of the part of the picture that a thing covers, about the middle one
TOKEN_CALM = 0.001  # keeps CLIP's tokens from growing without bound, which their head alone does not


class TeachingHeads(nn.Module):
    """All heads of a model; each loss is a scalar over a batch of scenes of one grid."""

    factors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = int(config.sam2["neck"]["d_model"])
        parts = FACTORS.shape[1]
        self.register_buffer("factors", FACTORS.clone(), persistent=False)
        self.patches = nn.Linear(config.hidden, 4 * parts)
        self.pyramid = nn.ModuleList(nn.Conv2d(w, parts + 2, 1) for w in (width, width // 4, width // 8))
        self.places = nn.Linear(config.hidden, 2 * PLACE_WIDTH + 1)
        self.query = nn.Linear(config.hidden, POINTER_WIDTH)
        self.key = nn.Linear(config.hidden, POINTER_WIDTH)
        self.asking = nn.Linear(config.hidden, POINTER_WIDTH)
        self.nothing = nn.Parameter(torch.zeros(POINTER_WIDTH))
        self.names = nn.Linear(config.hidden, parts)
        self.spots = nn.Linear(config.hidden, PLACE_WIDTH + 1)
        self.meaning = nn.Linear(config.hidden, sum(SIZES))
        self.asked = nn.Linear(sum(SIZES) + PLACE_WIDTH + 2, config.hidden)
        depth = int(config.sam2["mask_decoder"]["transformer_depth"])
        self.coarse = nn.ModuleList(nn.Linear(width, 1) for _ in range(depth))

    def of_language(self) -> tuple[nn.Module, ...]:
        """Those that the language model learns from."""
        return self.places, self.query, self.key, self.asking, self.names, self.spots, self.meaning

    def asked_states(self, fields: Tensor, spots: Tensor) -> Tensor:
        """What is asked for, int64 (n, fields), and where it is as far as one knows, (n, PLACE_WIDTH + 1) or NaN ->
        what stands for the state of a `[SEG]`, (n, hidden)."""
        known = ~spots[:, :1].isnan()
        told = [F.one_hot(field, size) for field, size in zip(fields.T, SIZES, strict=True)]
        codes, sizes = spots[:, :-1], (spots[:, -1:] - COMMON_SIZE) / 2
        every = [*told, codes.nan_to_num(), sizes.nan_to_num(), known]
        states: Tensor = self.asked(torch.cat([part.to(self.asked.weight.dtype) for part in every], dim=-1))
        return states

    def labels(self, parts: Tensor) -> Tensor:
        """Scores of classes and colours (..., parts) -> of labels (..., LABELS), the sum of their two."""
        return parts.float() @ self.factors.T

    def token_loss(self, tokens: Tensor, targets: list[Targets]) -> Tensor:
        """Tile tokens (B, side, side, hidden): the labels of their four patches, as far as each covers them."""
        batch, side = tokens.shape[:2]
        shares = torch.stack([one.shares for one in targets]).to(tokens.device)
        shares = shares.reshape(batch, side, 2, side, 2, -1).transpose(2, 3).reshape(batch, side, side, 4, -1)
        told = self.labels(self.patches(tokens).unflatten(-1, (4, -1))).log_softmax(-1)
        return -(shares * told).sum(-1).mean() + TOKEN_CALM * tokens.float().square().mean()

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
        named = self.labels(told[:, :-2].movedim(1, -1))
        return F.cross_entropy(named.flatten(0, -2), labels.flatten()) + 0.5 * error

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

    def pointer_loss(self, pointing: list[Tensor], states: Tensor, wanted: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden), of tile tokens (B, side, side, hidden); where to point."""
        parts = []
        for seg, image, one in zip(pointing, states.flatten(1, 2), wanted, strict=True):
            parts.append(_divergence(self.query(seg), self.key(image), one.to(seg.device)))
        together = torch.cat(parts)
        return together.mean() if len(together) else states.sum() * 0

    def pointed(self, seg: Tensor, states: Tensor) -> Tensor:
        """Final states of `[SEG]` (n, hidden), of tile tokens (rows, cols, hidden) -> the likeliest token (n,)."""
        return (self.query(seg) @ self.key(states.flatten(0, 1)).T).argmax(-1)

    def points_right(self, seg: Tensor, states: Tensor, wanted: Tensor) -> Tensor:
        """Final states of `[SEG]` (n, hidden), of tile tokens (rows, cols, hidden), the pointers of their masks
        (n, rows * cols) -> bool (n,): whether the likeliest token is one that the mask covers."""
        with torch.no_grad():
            right: Tensor = wanted.to(seg.device).gather(1, self.pointed(seg, states)[:, None])[:, 0] > 0
        return right

    def look_loss(self, asking: list[Tensor], states: Tensor, wanted: list[Tensor]) -> Tensor:
        """The same for the states that decide how an answer begins, which may also look at nothing (last column)."""
        parts = []
        for start, image, one in zip(asking, states.flatten(1, 2), wanted, strict=True):
            known = ~one[:, -1].isnan()
            keys = torch.cat([self.key(image), self.nothing[None].to(image.dtype)])
            parts.append(_divergence(self.asking(start)[known.to(start.device)], keys, one[known].to(start.device)))
        together = torch.cat(parts)
        return together.mean() if len(together) else states.sum() * 0

    def name_loss(self, pointing: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden): the labels of what it shows (n, LABELS), by area."""
        told = self.labels(self.names(torch.cat(pointing))).log_softmax(-1)
        shares = torch.cat(wanted).to(told.device)
        return -(shares * told).sum(-1).mean() if len(shares) else told.sum() * 0

    def meaning_loss(self, pointing: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden): what was asked for (n, fields), all fields together."""
        told = self.meaning(torch.cat(pointing)).float()
        fields = torch.cat(wanted).to(told.device)
        if not len(fields):
            return told.sum() * 0
        parts = zip(told.split(SIZES, dim=-1), fields.T, strict=True)
        return torch.stack([F.cross_entropy(scores, field) for scores, field in parts]).sum()

    def spot_loss(self, pointing: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden): where the one thing it shows is, and how large."""
        told = self.spots(torch.cat(pointing)).float()
        spots = torch.cat(wanted).to(told.device)
        known = ~spots[:, 0].isnan()
        if not known.any():
            return told.sum() * 0
        error = F.smooth_l1_loss(told[known, -1], spots[known, -1])
        return F.mse_loss(told[known, :-1], spots[known, :-1]) + 0.2 * error

    def selection_loss(self, images: list[Tensor], truth: Tensor) -> Tensor:
        """The pixel decoder's image after each of its blocks (n, s * s, width): what belongs to the mask (n, M, M)."""
        side = math.isqrt(images[0].shape[1])
        told = [
            head(image)[..., 0].float().unflatten(1, (side, side))
            for head, image in zip(self.coarse, images, strict=True)
        ]
        return torch.stack([coarse_loss(logits, truth) for logits in told]).sum()


def _divergence(queries: Tensor, keys: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence (n,) of where queries (n, w) look among keys (k, w) from `wanted` (n, k)."""
    scores = queries.float() @ keys.float().T * POINTER_WIDTH**-0.5
    entropy = -(wanted * wanted.clamp(min=1e-9).log()).sum(-1)
    return -(wanted * scores.log_softmax(-1)).sum(-1) - entropy


def read_heads(checkpoint: Path, config: ModelConfig) -> TeachingHeads:
    """The heads beside a checkpoint's directory; CheckpointError when they are not those of this model."""
    heads, path = TeachingHeads(config), checkpoint.parent / HEADS_NAME
    try:
        heads.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path} holds no heads of this model ({error}); copy it from the run") from None
    return heads


def tile_grid(tokens: Tensor, rows: int, cols: int) -> Tensor:
    """Tile tokens (B, rows * cols, G, G, C) -> (B, rows * G, cols * G, C)."""
    batch, _, side, _, channels = tokens.shape
    grid = tokens.reshape(batch, rows, cols, side, side, channels).transpose(2, 3)
    return torch.flatten(grid.reshape(batch, rows * side, cols, side, channels), 2, 3)


def stitched_grid(states: Tensor, side: int, rows: int, cols: int) -> Tensor:
    """States of a stitched image (B, T, C) -> those at its tile tokens (B, rows * side, cols * side, C)."""
    tiles = states[:, (side + 1) * side + 1 :]
    return tiles.unflatten(1, (rows * side, cols * side + 1))[:, :, :-1]
