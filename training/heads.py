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
from .prompt_targets import FIELD_SIZES
from .targets import FACTORS, POSITION_WIDTH, Targets, position_encoding

HEADS_NAME = "heads.safetensors"  # beside a checkpoint's directory
POINTER_WIDTH = 64
MEDIAN_LOG_SIZE = -6.0  # of a thing's part of the picture, about
TOKEN_NORM_WEIGHT = 0.001  # keeps CLIP's tokens from growing without bound, which their head alone does not


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
        self.places = nn.Linear(config.hidden, 2 * POSITION_WIDTH + 1)
        self.query = nn.Linear(config.hidden, POINTER_WIDTH)
        self.key = nn.Linear(config.hidden, POINTER_WIDTH)
        self.asking = nn.Linear(config.hidden, POINTER_WIDTH)
        self.nothing = nn.Parameter(torch.zeros(POINTER_WIDTH))
        self.names = nn.Linear(config.hidden, parts)
        self.spots = nn.Linear(config.hidden, POSITION_WIDTH + 1)
        self.meaning = nn.Linear(config.hidden, sum(FIELD_SIZES))
        self.asked = nn.Linear(sum(FIELD_SIZES) + POSITION_WIDTH + 2, config.hidden)
        depth = int(config.sam2["mask_decoder"]["transformer_depth"])
        self.coarse = nn.ModuleList(nn.Linear(width, 1) for _ in range(depth))

    def language_heads(self) -> tuple[nn.Module, ...]:
        """Those that the language model learns from."""
        return self.places, self.query, self.key, self.asking, self.names, self.spots, self.meaning

    def prompt_states(self, fields: Tensor, locations: Tensor) -> Tensor:
        """Prompt targets, int64 (n, fields), and noisy locations, (n, POSITION_WIDTH + 1), NaN where unknown -> what
        stands in for the hidden state of a `[SEG]`, (n, hidden)."""
        known = ~locations[:, :1].isnan()
        one_hot = [F.one_hot(field, size) for field, size in zip(fields.T, FIELD_SIZES, strict=True)]
        codes, sizes = locations[:, :-1], (locations[:, -1:] - MEDIAN_LOG_SIZE) / 2
        features = [*one_hot, codes.nan_to_num(), sizes.nan_to_num(), known]
        states: Tensor = self.asked(torch.cat([part.to(self.asked.weight.dtype) for part in features], dim=-1))
        return states

    def labels(self, parts: Tensor) -> Tensor:
        """Scores of classes and colours (..., parts) -> of labels (..., LABELS), the sum of their two."""
        return parts.float() @ self.factors.T

    def token_loss(self, tokens: Tensor, targets: list[Targets]) -> Tensor:
        """Tile tokens (B, side, side, hidden): the labels of their four patches, as far as each covers them."""
        batch, side = tokens.shape[:2]
        shares = torch.stack([one.patch_shares for one in targets]).to(tokens.device)
        shares = shares.reshape(batch, side, 2, side, 2, -1).transpose(2, 3).reshape(batch, side, side, 4, -1)
        predicted = self.labels(self.patches(tokens).unflatten(-1, (4, -1))).log_softmax(-1)
        return -(shares * predicted).sum(-1).mean() + TOKEN_NORM_WEIGHT * tokens.float().square().mean()

    def pyramid_loss(self, pyramid: tuple[Tensor, Tensor, Tensor], targets: list[Targets]) -> Tensor:
        """The encoder's three outputs: the label of every mask cell, and where the centre of the thing there is."""
        embed, high_res0, high_res1 = pyramid
        labels = torch.stack([one.labels for one in targets]).to(embed.device)
        offsets = torch.stack([one.offsets for one in targets]).to(embed.device)
        side = labels.shape[-1]
        levels = zip(self.pyramid, (embed, high_res1, high_res0), strict=True)
        predicted = sum(
            F.interpolate(head(level).float(), size=(side, side), mode="bilinear") for head, level in levels
        )
        assert isinstance(predicted, Tensor)
        known = ~offsets.isnan()
        error = predicted.sum() * 0
        if known.any():
            error = F.smooth_l1_loss(predicted[:, -2:][known], offsets[known], beta=0.5)
        logits = self.labels(predicted[:, :-2].movedim(1, -1))
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten()) + 0.5 * error

    def position_loss(self, states: Tensor, targets: list[Targets]) -> Tensor:
        """The language model's states at tile tokens (B, side, side, hidden): where each is, and its thing's centre."""
        side, device = states.shape[1], states.device
        predicted = self.places(states).float()
        middles = (torch.stack(torch.meshgrid(*[torch.arange(side)] * 2, indexing="xy"), -1) + 0.5) / side
        here = torch.from_numpy(position_encoding(middles.double().numpy())).to(device)
        centres = torch.stack([one.centres for one in targets]).to(device)
        sizes = torch.stack([one.log_sizes for one in targets]).to(device)
        known = ~centres[..., 0].isnan()
        loss = F.mse_loss(predicted[..., :POSITION_WIDTH], here.expand(len(targets), -1, -1, -1))
        if known.any():
            loss = loss + F.mse_loss(predicted[..., POSITION_WIDTH:-1][known], centres[known])
            loss = loss + 0.2 * F.smooth_l1_loss(predicted[..., -1][known], sizes[known])
        return loss

    def pointer_loss(self, seg_states: list[Tensor], image_states: Tensor, pointers: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden), of tile tokens (B, side, side, hidden); the distributions
        over tile tokens (n, side * side) that the `[SEG]` must point with."""
        parts = []
        for seg, image, target in zip(seg_states, image_states.flatten(1, 2), pointers, strict=True):
            parts.append(_kl_divergence(self.query(seg), self.key(image), target.to(seg.device)))
        divergence = torch.cat(parts)
        return divergence.mean() if len(divergence) else image_states.sum() * 0

    def likeliest_token(self, seg_states: Tensor, image_states: Tensor) -> Tensor:
        """Final states of `[SEG]` (n, hidden), of tile tokens (rows, cols, hidden) -> the token pointed at, (n,)."""
        return (self.query(seg_states) @ self.key(image_states.flatten(0, 1)).T).argmax(-1)

    def points_at_target(self, seg_states: Tensor, image_states: Tensor, pointers: Tensor) -> Tensor:
        """Final states of `[SEG]` (n, hidden), of tile tokens (rows, cols, hidden), the pointers of their masks
        (n, rows * cols) -> bool (n,): whether the likeliest token is one that the mask covers."""
        with torch.no_grad():
            token = self.likeliest_token(seg_states, image_states)
            covered: Tensor = pointers.to(seg_states.device).gather(1, token[:, None])[:, 0] > 0
        return covered

    def attention_loss(self, start_states: list[Tensor], image_states: Tensor, attention: list[Tensor]) -> Tensor:
        """The same for the states that decide how an answer begins, which may also look at nothing: the last column
        of `attention` (q, side * side + 1), whose rows are NaN where they are not taught."""
        parts = []
        for start, image, target in zip(start_states, image_states.flatten(1, 2), attention, strict=True):
            known = ~target[:, -1].isnan()
            keys = torch.cat([self.key(image), self.nothing[None].to(image.dtype)])
            queries = self.asking(start)[known.to(start.device)]
            parts.append(_kl_divergence(queries, keys, target[known].to(start.device)))
        divergence = torch.cat(parts)
        return divergence.mean() if len(divergence) else image_states.sum() * 0

    def label_loss(self, seg_states: list[Tensor], label_shares: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden): the labels of what it shows (n, LABELS), by area."""
        predicted = self.labels(self.names(torch.cat(seg_states))).log_softmax(-1)
        shares = torch.cat(label_shares).to(predicted.device)
        return -(shares * predicted).sum(-1).mean() if len(shares) else predicted.sum() * 0

    def prompt_field_loss(self, seg_states: list[Tensor], prompt_targets: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden): its prompt targets (n, fields); a sum over fields."""
        predicted = self.meaning(torch.cat(seg_states)).float()
        fields = torch.cat(prompt_targets).to(predicted.device)
        if not len(fields):
            return predicted.sum() * 0
        parts = zip(predicted.split(FIELD_SIZES, dim=-1), fields.T, strict=True)
        return torch.stack([F.cross_entropy(scores, field) for scores, field in parts]).sum()

    def location_loss(self, seg_states: list[Tensor], locations: list[Tensor]) -> Tensor:
        """Final states of each scene's `[SEG]` (n, hidden): where the one thing it shows is, and how large, as
        (n, POSITION_WIDTH + 1), NaN where it shows several."""
        predicted = self.spots(torch.cat(seg_states)).float()
        target = torch.cat(locations).to(predicted.device)
        known = ~target[:, 0].isnan()
        if not known.any():
            return predicted.sum() * 0
        error = F.smooth_l1_loss(predicted[known, -1], target[known, -1])
        return F.mse_loss(predicted[known, :-1], target[known, :-1]) + 0.2 * error

    def selection_loss(self, images: list[Tensor], truth: Tensor) -> Tensor:
        """The pixel decoder's image after each of its blocks (n, s * s, width): what belongs to the mask (n, M, M)."""
        side = math.isqrt(images[0].shape[1])
        predicted = [
            head(image)[..., 0].float().unflatten(1, (side, side))
            for head, image in zip(self.coarse, images, strict=True)
        ]
        return torch.stack([coarse_loss(logits, truth) for logits in predicted]).sum()


def _kl_divergence(queries: Tensor, keys: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence (n,) of how queries (n, w) attend to keys (k, w) from `target` (n, k)."""
    scores = queries.float() @ keys.float().T * POINTER_WIDTH**-0.5
    entropy = -(target * target.clamp(min=1e-9).log()).sum(-1)
    return -(target * scores.log_softmax(-1)).sum(-1) - entropy


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
