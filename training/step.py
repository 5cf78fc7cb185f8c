"""One training step: a batch of scenes through all five blocks, and GeoPixel's losses on what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from export.vision_encoder import stitch

from .batches import Sample
from .heads import ClassHeads, tile_grid
from .losses import IGNORED, answer_loss, mask_losses
from .model import GeoPixel


@dataclass(frozen=True)
class Losses:
    """Scalars of one step; masks only where the step had any."""

    answer: Tensor
    bce: Tensor
    dice: Tensor
    iou: Tensor
    classes: Tensor
    total: Tensor


def losses_of(
    model: GeoPixel, heads: ClassHeads, samples: list[Sample], bos: int, masks_per_image: int, teach: float
) -> Losses:
    """One batch of scenes of one grid through all five blocks; `teach` weighs the encoders' class heads."""
    device = model.token_embeddings.weight.device
    rows, cols = samples[0].grid
    views = torch.stack([sample.views for sample in samples]).to(device)
    tokens, separators = model.vision_encoder(views.flatten(0, 1))
    tokens = tokens.unflatten(0, views.shape[:2])
    images = torch.stack([stitch(one, separators, rows, cols) for one in tokens])
    hidden, targets = _read(model, images, samples, bos)
    answered = targets != IGNORED
    answer = answer_loss(model.language_model.output(hidden[answered]), targets[answered])
    pyramids = model.grounding_encoder(torch.cat([sample.pixels for sample in samples]).to(device))
    classes = torch.stack([sample.classes for sample in samples]).to(device)
    taught = heads.loss(tile_grid(tokens[:, 1:], rows, cols), pyramids, classes)
    found = [_point(model, hidden[i], pyramids, i, sample, masks_per_image) for i, sample in enumerate(samples)]
    parts = [one for one in found if one is not None]
    if parts:
        masks4, iou4, truth = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        masks = mask_losses(masks4, iou4, truth)
        return Losses(answer, masks.bce, masks.dice, masks.iou, taught, answer + masks.total + teach * taught)
    zero = answer.detach() * 0
    return Losses(answer, zero, zero, zero, taught, answer + teach * taught)


def _read(model: GeoPixel, images: Tensor, samples: list[Sample], bos: int) -> tuple[Tensor, Tensor]:
    """Hidden states (B, L, hidden) and targets (B, L) of the packed questions, each seeing its image and itself."""
    device, (batch, count) = images.device, images.shape[:2]
    length = max(len(sample.token_ids) for sample in samples)

    def padded(name: str, value: int) -> Tensor:
        columns = [F.pad(getattr(s, name), (0, length - len(s.token_ids)), value=value) for s in samples]
        return torch.stack(columns).to(device)

    first = model.token_embeddings(torch.full((batch, 1), bos, device=device))
    embeds = torch.cat([first, images, model.token_embeddings(padded("token_ids", 0))], dim=1)
    prefix = 1 + count
    segment = torch.cat([torch.full((batch, prefix), -1, device=device), padded("segment", -2)], dim=1)
    order = torch.arange(prefix + length, device=device)
    shared = (segment[:, None] == -1) | (segment[:, None] == segment[..., None])
    mask = (shared & (order <= order[:, None]))[:, None]
    positions = torch.cat([order[:prefix].expand(batch, -1), padded("positions", 0)], dim=1)
    starts = torch.arange(batch, device=device)[:, None] * (prefix + length)
    image_rows = (starts + torch.arange(1, prefix, device=device)).flatten()
    states = model.language_model(embeds, image_rows, positions, mask)
    return states[:, prefix:], padded("targets", IGNORED)


def _point(
    model: GeoPixel, hidden: Tensor, pyramids: tuple[Tensor, ...], index: int, sample: Sample, masks_per_image: int
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Four masks, their predicted IoU and the truth, of at most `masks_per_image` of a sample's `[SEG]`."""
    if not len(sample.seg_at):
        return None
    chosen = torch.randperm(len(sample.seg_at))[:masks_per_image]
    pyramid = [level[index : index + 1] for level in pyramids]
    masks4, iou4, _ = model.pixel_decoder.all_masks(hidden[sample.seg_at[chosen].to(hidden.device)], *pyramid)
    return masks4, iou4, sample.masks[chosen].to(hidden.device)
