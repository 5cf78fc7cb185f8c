"""One training step: a batch of scenes through all five blocks, and GeoPixel's losses on what comes out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from export.torch_model.language_model import Block, Reading
from export.torch_model.pixel_decoder import PixelDecoder
from export.torch_model.vision_encoder import stitch

from .batches import Sample
from .heads import TeachingHeads, stitched_grid, tile_grid
from .losses import BCE_WEIGHT, DICE_WEIGHT, IGNORED, IOU_WEIGHT, NEAR_WEIGHT, answer_loss, mask_losses
from .model import GeoPixel
from .plan import Part

BLOCK_ROWS = 192  # of a sequence whose attention is computed together
# What each loss counts for. An answer's first token says whether the thing is there, and a description's words say what
# is there, which a mean over hundreds of copied words would hide, so they count once more. CLIP learns more slowly than
# Hiera, whose windows see small things at once.
MASKS_WEIGHT = 2.0
WEIGHTS = {
    "answer": 1.0,
    "decision": 1.0,
    "description": 2.0,
    "bce": MASKS_WEIGHT * BCE_WEIGHT,
    "dice": MASKS_WEIGHT * DICE_WEIGHT,
    "near": MASKS_WEIGHT * NEAR_WEIGHT,
    "iou": MASKS_WEIGHT * IOU_WEIGHT,
    "tokens": 4.0,
    "pyramid": 1.0,
    "places": 1.5,
    "pointers": 0.6,
    "spots": 0.6,
    "looks": 0.3,
    "names": 0.3,
    "meaning": 0.3,
    "prompt": 0.5,
    "selection": 1.0,
}
OF_ENCODERS, LATER_TEACHING = ("tokens", "pyramid"), 0.5  # what their heads count for when all learns


def losses_of(model: GeoPixel, heads: TeachingHeads, samples: list[Sample], bos: int, part: Part) -> dict[str, Tensor]:
    """Losses of one batch of scenes of one grid, as far as the part needs them, and their `total`."""
    device = model.token_embeddings.weight.device
    rows, cols = samples[0].grid
    taught = [sample.taught for sample in samples]
    views = torch.stack([sample.views for sample in samples]).to(device)
    tokens, separators = model.vision_encoder(views.flatten(0, 1))
    tokens = tokens.unflatten(0, views.shape[:2])
    found = {"tokens": heads.token_loss(tile_grid(tokens[:, 1:], rows, cols), taught)}
    if part in (Part.ENCODERS, Part.GROUNDING, Part.ALL):
        pyramids = model.grounding_encoder(torch.cat([sample.pixels for sample in samples]).to(device))
        found["pyramid"] = heads.pyramid_loss(pyramids, taught)
    if part in (Part.READING, Part.GROUNDING, Part.ALL):
        images = torch.stack([stitch(one, separators, rows, cols) for one in tokens])
        told, pointing, seen = _told(model, heads, images, samples, bos)
        found |= told
    if part is Part.READING:
        found["prompt"] = _prompt_loss(model, heads, pointing, samples)
    if part in (Part.GROUNDING, Part.ALL):
        found |= _masks(model, heads, pointing, seen, pyramids, samples)
    return weighed(found, LATER_TEACHING if part is Part.ALL else 1.0)


def weighed(found: dict[str, Tensor], teach: float) -> dict[str, Tensor]:
    """Scalars named as in WEIGHTS, 0 for what was not found, and their weighted `total`; `teach` weighs the heads of
    the encoders."""
    zero = next(iter(found.values())).detach().float() * 0
    losses = {name: found.get(name, zero) for name in WEIGHTS}
    weights = {name: weight * (teach if name in OF_ENCODERS else 1.0) for name, weight in WEIGHTS.items()}
    return {**losses, "total": torch.stack([weights[name] * loss.float() for name, loss in losses.items()]).sum()}


def _prompt_loss(model: GeoPixel, heads: TeachingHeads, pointing: list[Tensor], samples: list[Sample]) -> Tensor:
    """How far what each `[SEG]` asks of the decoder is from what the decoder was taught with."""
    prompts = model.pixel_decoder.text_hidden_fcs
    fields = torch.cat([sample.meanings for sample in samples]).to(pointing[0].device)
    spots = torch.cat([sample.taught.spots for sample in samples]).to(pointing[0].device)
    states = torch.cat(pointing)
    if not len(fields):
        return states.sum() * 0
    return F.mse_loss(prompts(states).float(), prompts(heads.asked_states(fields, spots)).detach().float())


def _told(
    model: GeoPixel, heads: TeachingHeads, images: Tensor, samples: list[Sample], bos: int
) -> tuple[dict[str, Tensor], list[Tensor], Tensor]:
    """Losses of what the language model says and of where it looks; the states of each sample's `[SEG]`, and those at
    tile tokens (B, rows, cols, hidden)."""
    device, (rows, cols) = images.device, samples[0].grid
    taught = [sample.taught for sample in samples]
    middle, image_states, hidden, targets = read(model, images, samples, bos)
    answered = targets != IGNORED
    described = answered & (padded(samples, "segment", -2, device) == 0)  # the first question of a sample
    starts = [sample.begins.to(device) for sample in samples]
    asking = [states[at] for states, at in zip(hidden, starts, strict=True)]
    first = torch.cat([one[at] for one, at in zip(targets, starts, strict=True)])
    pointing = [states[sample.seg_at.to(device)] for states, sample in zip(hidden, samples, strict=True)]
    side = model.config.tokens_per_side
    seen = stitched_grid(image_states, side, rows, cols)
    losses = {
        "answer": answer_loss(model.language_model.output(hidden[answered]), targets[answered]),
        "decision": answer_loss(model.language_model.output(torch.cat(asking)), first),
        "description": answer_loss(model.language_model.output(hidden[described]), targets[described]),
        "places": heads.place_loss(stitched_grid(middle, side, rows, cols), taught),
        "pointers": heads.pointer_loss(pointing, seen, [one.pointers for one in taught]),
        "looks": heads.look_loss(asking, seen, [sample.looks_for for sample in samples]),
        "names": heads.name_loss(pointing, [one.names for one in taught]),
        "spots": heads.spot_loss(pointing, [one.spots for one in taught]),
        "meaning": heads.meaning_loss(pointing, [sample.meanings for sample in samples]),
    }
    return losses, pointing, seen


def padded(samples: list[Sample], name: str, value: int, device: torch.device) -> Tensor:
    """A text column of all samples, (B, L), filled up with `value`."""
    length = max(len(sample.token_ids) for sample in samples)
    columns = [F.pad(getattr(s, name), (0, length - len(s.token_ids)), value=value) for s in samples]
    return torch.stack(columns).to(device)


def read(model: GeoPixel, images: Tensor, samples: list[Sample], bos: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
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
    positions = torch.cat([order[:prefix].expand(batch, -1), padded(samples, "positions", 0, device)], dim=1)
    starts = torch.arange(batch, device=device)[:, None] * (prefix + length)
    image_rows = (starts + torch.arange(1, prefix, device=device)).flatten()
    language = model.language_model
    reading = Reading.of(language.config, batch, positions, image_rows, blocks_of(segment, prefix))
    states = embeds.flatten(0, 1)
    middle = states
    for index, layer in enumerate(language.layers):
        states = layer(states, reading)
        if index == len(language.layers) // 2 - 1:
            middle = states
    middle, final = (rows.unflatten(0, (batch, -1)) for rows in (middle, language.norm(states)))
    return middle[:, 1:prefix], final[:, 1:prefix], final[:, prefix:], padded(samples, "targets", IGNORED, device)


def blocks_of(segment: Tensor, prefix: int) -> tuple[Block, ...]:
    """What rows (B, S) may attend to, block by block: themselves, and what stands before them in the prefix (segment
    -1) or in their own segment. Segments lie together, so a block needs only the keys from its first segment on.
    """
    order = torch.arange(segment.shape[1], device=segment.device)
    blocks = []
    for low, high in ((0, prefix), (prefix, len(order))):
        for start in range(low, high, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, high)
            spans: tuple[tuple[int, int], ...] = ((0, stop),)
            if low:
                own = (segment == segment[:, start : start + 1]).int().argmax(1)  # where the segment begins
                spans = ((0, prefix), (int(own.min()), stop))
            keys = torch.cat([order[a:b] for a, b in spans])
            queries = order[start:stop, None]
            shared = (segment[:, None, keys] == -1) | (segment[:, None, keys] == segment[:, start:stop, None])
            seen = shared & (keys <= queries)
            blocks.append(Block(start, stop, spans, torch.where(seen, 0.0, float("-inf"))[:, None]))
    return tuple(blocks)


@contextlib.contextmanager
def watched(decoder: PixelDecoder) -> Iterator[list[list[Tensor]]]:
    """For each block of the decoder's transformer, the images it gives while the context is open."""
    steps: list[list[Tensor]] = [[] for _ in decoder.transformer.layers]
    hooks = [
        block.register_forward_hook(lambda _block, _inputs, outputs, kept=kept: kept.append(outputs[1]))
        for block, kept in zip(decoder.transformer.layers, steps, strict=True)
    ]
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def _masks(
    model: GeoPixel,
    heads: TeachingHeads,
    pointing: list[Tensor],
    seen: Tensor,
    pyramids: tuple[Tensor, ...],
    samples: list[Sample],
) -> dict[str, Tensor]:
    """Losses of the chosen masks of all samples together, and of the selection on the way; nothing without masks.

    Masks that the language model does not point at are left out (`kept.keep_pointed` says why), once it points at any.
    """
    parts = []
    with watched(model.pixel_decoder) as steps:
        for index, (states, sample) in enumerate(zip(pointing, samples, strict=True)):
            if not len(sample.chosen):
                continue
            pyramid = [level[index : index + 1] for level in pyramids]
            asked = states[sample.chosen.to(states.device)]
            right = heads.points_right(asked, seen[index], sample.taught.pointers[sample.chosen])
            taught = right if right.any() else torch.ones_like(right)
            masks4, iou4, _ = model.pixel_decoder.all_masks(asked[taught], *pyramid)
            parts.append((masks4, iou4, sample.masks.to(states.device)[taught]))
    if not parts:
        return {}
    masks4, iou4, truth = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    selection = heads.selection_loss([torch.cat(kept) for kept in steps], truth)
    return {**vars(mask_losses(masks4, iou4, truth)), "selection": selection}
