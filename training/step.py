"""One training step: a batch of scenes through all five blocks, and GeoPixel's losses on what comes out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from export.language_model import Reading
from export.pixel_decoder import PixelDecoder
from export.vision_encoder import stitch

from .batches import Sample
from .heads import TeachingHeads, stitched_grid, tile_grid
from .losses import IGNORED, MaskLosses, answer_loss, mask_losses
from .model import GeoPixel

# Beside GeoPixel's own terms: an answer's first token says whether the thing is there, which a mean over a dozen copied
# words would hide, so it counts once more.
MASKS_WEIGHT, HEADS_WEIGHT, PLACES_WEIGHT = 2.0, 0.3, 1.5
TOKENS_WEIGHT = 4.0  # CLIP learns more slowly than Hiera, whose windows see small things at once


@dataclass(frozen=True)
class Losses:
    """Scalars of one step, zero where the step had nothing to measure; `total` is what is minimised."""

    answer: Tensor
    decision: Tensor
    bce: Tensor
    dice: Tensor
    near: Tensor
    iou: Tensor
    tokens: Tensor
    pyramid: Tensor
    places: Tensor
    pointers: Tensor
    looks: Tensor
    names: Tensor
    selection: Tensor
    total: Tensor


def losses_of(
    model: GeoPixel, heads: TeachingHeads, samples: list[Sample], bos: int, teach: float, seeing_only: bool
) -> Losses:
    """One batch of scenes of one grid; `teach` weighs the heads of the encoders, which learn alone if `seeing_only`."""
    device = model.token_embeddings.weight.device
    rows, cols = samples[0].grid
    taught = [sample.taught for sample in samples]
    views = torch.stack([sample.views for sample in samples]).to(device)
    tokens, separators = model.vision_encoder(views.flatten(0, 1))
    tokens = tokens.unflatten(0, views.shape[:2])
    token_loss = heads.token_loss(tile_grid(tokens[:, 1:], rows, cols), taught)
    pyramids = model.grounding_encoder(torch.cat([sample.pixels for sample in samples]).to(device))
    pyramid_loss = heads.pyramid_loss(pyramids, taught)
    seen = teach * (TOKENS_WEIGHT * token_loss + pyramid_loss)
    zero = seen.detach() * 0
    if seeing_only:
        return Losses(*(zero,) * 6, token_loss, pyramid_loss, *(zero,) * 5, seen)
    images = torch.stack([stitch(one, separators, rows, cols) for one in tokens])
    middle, image_states, hidden, targets = _read(model, images, samples, bos)
    answered = targets != IGNORED
    answer = answer_loss(model.language_model.output(hidden[answered]), targets[answered])
    starts = [sample.begins.to(device) for sample in samples]
    asking = [states[at] for states, at in zip(hidden, starts, strict=True)]
    first = torch.cat([one[at] for one, at in zip(targets, starts, strict=True)])
    decision = answer_loss(model.language_model.output(torch.cat(asking)), first)
    side = tokens.shape[2]
    places = heads.place_loss(stitched_grid(middle, side, rows, cols), taught)
    pointing = [states[sample.seg_at.to(device)] for states, sample in zip(hidden, samples, strict=True)]
    seen_by_model = stitched_grid(image_states, side, rows, cols)
    pointers = heads.pointer_loss(pointing, seen_by_model, [one.pointers for one in taught])
    looks = heads.look_loss(asking, seen_by_model, [sample.looks_for for sample in samples])
    names = heads.name_loss(pointing, [one.names for one in taught])
    masks, selection = _masks(model, heads, pointing, pyramids, samples) or (MaskLosses(zero, zero, zero, zero), zero)
    taught_by_heads = PLACES_WEIGHT * places + HEADS_WEIGHT * (pointers + looks + names) + selection + seen
    total = answer + decision + MASKS_WEIGHT * masks.total + taught_by_heads
    return Losses(
        answer, decision, masks.bce, masks.dice, masks.near, masks.iou, token_loss, pyramid_loss, places, pointers,
        looks, names, selection, total,
    )  # fmt: skip


def padded(samples: list[Sample], name: str, value: int, device: torch.device) -> Tensor:
    """A text column of all samples, (B, L), filled up with `value`."""
    length = max(len(sample.token_ids) for sample in samples)
    columns = [F.pad(getattr(s, name), (0, length - len(s.token_ids)), value=value) for s in samples]
    return torch.stack(columns).to(device)


def _read(model: GeoPixel, images: Tensor, samples: list[Sample], bos: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States of the packed questions, each seeing its image and itself.

    Returns those of the image half-way through the layers and at the end (B, T, hidden), the final ones of the text
    (B, L, hidden) and its targets (B, L).
    """
    device, (batch, count) = images.device, images.shape[:2]
    first = model.token_embeddings(torch.full((batch, 1), bos, device=device))
    text = model.token_embeddings(padded(samples, "token_ids", 0, device))
    embeds = torch.cat([first, images, text], dim=1)
    prefix, length = 1 + count, text.shape[1]
    segment = torch.cat([torch.full((batch, prefix), -1, device=device), padded(samples, "segment", -2, device)], dim=1)
    order = torch.arange(prefix + length, device=device)
    shared = (segment[:, None] == -1) | (segment[:, None] == segment[..., None])
    mask = (shared & (order <= order[:, None]))[:, None]
    positions = torch.cat([order[:prefix].expand(batch, -1), padded(samples, "positions", 0, device)], dim=1)
    starts = torch.arange(batch, device=device)[:, None] * (prefix + length)
    image_rows = (starts + torch.arange(1, prefix, device=device)).flatten()
    language = model.language_model
    reading = Reading.of(language.config, batch, positions, image_rows, mask)
    states = embeds.flatten(0, 1)
    middle = states
    for index, layer in enumerate(language.layers):
        states = layer(states, reading)
        if index == len(language.layers) // 2 - 1:
            middle = states
    middle, final = (rows.unflatten(0, (batch, -1)) for rows in (middle, language.norm(states)))
    return middle[:, 1:prefix], final[:, 1:prefix], final[:, prefix:], padded(samples, "targets", IGNORED, device)


@contextlib.contextmanager
def watched(decoder: PixelDecoder) -> Iterator[list[list[Tensor]]]:
    """For each block of the decoder's transformer, the images it gives while the context is open."""
    steps: list[list[Tensor]] = [[] for _ in decoder.transformer.layers]
    hooks = [block.register_forward_hook(lambda _block, _inputs, outputs, kept=kept: kept.append(outputs[1]))
             for block, kept in zip(decoder.transformer.layers, steps, strict=True)]  # fmt: skip
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def _masks(
    model: GeoPixel, heads: TeachingHeads, pointing: list[Tensor], pyramids: tuple[Tensor, ...], samples: list[Sample]
) -> tuple[MaskLosses, Tensor] | None:
    """Losses of the chosen masks of all samples together, and of the selection on the way; None without masks."""
    parts = []
    with watched(model.pixel_decoder) as steps:
        for index, (states, sample) in enumerate(zip(pointing, samples, strict=True)):
            if len(sample.chosen):
                pyramid = [level[index : index + 1] for level in pyramids]
                masks4, iou4, _ = model.pixel_decoder.all_masks(states[sample.chosen.to(states.device)], *pyramid)
                parts.append((masks4, iou4, sample.masks.to(states.device)))
    if not parts:
        return None
    masks4, iou4, truth = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return mask_losses(masks4, iou4, truth), heads.selection_loss([torch.cat(kept) for kept in steps], truth)
