"""One training step: a batch of scenes through all five blocks, and GeoPixel's losses on what comes out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from export.torch_model.language_model import Block, Reading
from export.torch_model.pixel_decoder import PixelDecoder
from export.torch_model.vision_encoder import stitch

from .batches import Packed, Sample
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
ENCODER_LOSSES = ("tokens", "pyramid")
JOINT_SCALE = 0.5  # of the encoders' losses when all blocks learn


def losses_of(model: GeoPixel, heads: TeachingHeads, samples: list[Sample], bos: int, part: Part) -> dict[str, Tensor]:
    """Losses of one batch of scenes of one grid, as far as the part needs them, and their `total`."""
    device = model.token_embeddings.weight.device
    rows, cols = samples[0].grid
    head_targets = [sample.head_targets for sample in samples]
    views = torch.stack([sample.views for sample in samples]).to(device)
    tokens, separators = model.vision_encoder(views.flatten(0, 1))
    tokens = tokens.unflatten(0, views.shape[:2])
    found = {"tokens": heads.token_loss(tile_grid(tokens[:, 1:], rows, cols), head_targets)}
    if part in (Part.ENCODERS, Part.GROUNDING, Part.ALL):
        pyramids = model.grounding_encoder(torch.cat([sample.pixels for sample in samples]).to(device))
        found["pyramid"] = heads.pyramid_loss(pyramids, head_targets)
    if part in (Part.READING, Part.GROUNDING, Part.ALL):
        images = torch.stack([stitch(one, separators, rows, cols) for one in tokens])
        language, seg_states, image_states = _language_losses(model, heads, images, samples, bos)
        found |= language
    if part is Part.READING:
        found["prompt"] = _prompt_loss(model, heads, seg_states, samples)
    if part in (Part.GROUNDING, Part.ALL):
        found |= _mask_losses(model, heads, seg_states, image_states, pyramids, samples)
    return weighted(found, JOINT_SCALE if part is Part.ALL else 1.0)


def weighted(found: dict[str, Tensor], encoder_scale: float) -> dict[str, Tensor]:
    """Scalars named as in WEIGHTS, 0 for those not found, and their weighted `total`; `encoder_scale` scales the
    weights of ENCODER_LOSSES."""
    zero = next(iter(found.values())).detach().float() * 0
    losses = {name: found.get(name, zero) for name in WEIGHTS}
    weights = {name: weight * (encoder_scale if name in ENCODER_LOSSES else 1.0) for name, weight in WEIGHTS.items()}
    return {**losses, "total": torch.stack([weights[name] * loss.float() for name, loss in losses.items()]).sum()}


def _prompt_loss(model: GeoPixel, heads: TeachingHeads, seg_states: list[Tensor], samples: list[Sample]) -> Tensor:
    """How far the prompt that each `[SEG]` state makes is from the one of its prompt targets."""
    prompts, states = model.pixel_decoder.text_hidden_fcs, torch.cat(seg_states)
    fields = torch.cat([sample.prompt_targets for sample in samples]).to(states.device)
    locations = torch.cat([sample.head_targets.locations for sample in samples]).to(states.device)
    if not len(fields):
        return states.sum() * 0
    return F.mse_loss(prompts(states).float(), prompts(heads.prompt_states(fields, locations)).detach().float())


def _language_losses(
    model: GeoPixel, heads: TeachingHeads, images: Tensor, samples: list[Sample], bos: int
) -> tuple[dict[str, Tensor], list[Tensor], Tensor]:
    """Losses of the language model's text and of its heads; each sample's final `[SEG]` states (n, hidden), and those
    at tile tokens (B, rows, cols, hidden)."""
    device, (rows, cols) = images.device, samples[0].grid
    head_targets = [sample.head_targets for sample in samples]
    middle, image_states, hidden, targets = language_states(model, images, samples, bos)
    in_answer = targets != IGNORED
    in_description = in_answer & (padded(samples, "segment", -2, device) == 0)  # the first question of a sample
    starts = [sample.answer_starts.to(device) for sample in samples]
    start_states = [states[at] for states, at in zip(hidden, starts, strict=True)]
    first = torch.cat([one[at] for one, at in zip(targets, starts, strict=True)])
    seg_states = [states[sample.seg_positions.to(device)] for states, sample in zip(hidden, samples, strict=True)]
    side = model.config.tokens_per_side
    tile_states = stitched_grid(image_states, side, rows, cols)
    losses = {
        "answer": answer_loss(model.language_model.output(hidden[in_answer]), targets[in_answer]),
        "decision": answer_loss(model.language_model.output(torch.cat(start_states)), first),
        "description": answer_loss(model.language_model.output(hidden[in_description]), targets[in_description]),
        "places": heads.position_loss(stitched_grid(middle, side, rows, cols), head_targets),
        "pointers": heads.pointer_loss(seg_states, tile_states, [one.pointers for one in head_targets]),
        "looks": heads.attention_loss(start_states, tile_states, [sample.attention_targets for sample in samples]),
        "names": heads.label_loss(seg_states, [one.label_shares for one in head_targets]),
        "spots": heads.location_loss(seg_states, [one.locations for one in head_targets]),
        "meaning": heads.prompt_field_loss(seg_states, [sample.prompt_targets for sample in samples]),
    }
    return losses, seg_states, tile_states


def padded(samples: Sequence[Packed], name: str, value: int, device: torch.device) -> Tensor:
    """A text column of all samples, (B, L), filled up with `value`."""
    length = max(len(sample.token_ids) for sample in samples)
    columns = [F.pad(getattr(s, name), (0, length - len(s.token_ids)), value=value) for s in samples]
    return torch.stack(columns).to(device)


def language_states(
    model: GeoPixel, images: Tensor, samples: Sequence[Packed], bos: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states of the language model over the packed questions, each attending to its image and itself.

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
    reading = Reading.of(language.config, batch, positions, image_rows, attention_blocks(segment, prefix))
    states = embeds.flatten(0, 1)
    middle = states
    for index, layer in enumerate(language.layers):
        states = layer(states, reading)
        if index == len(language.layers) // 2 - 1:
            middle = states
    middle, final = (rows.unflatten(0, (batch, -1)) for rows in (middle, language.norm(states)))
    return middle[:, 1:prefix], final[:, 1:prefix], final[:, prefix:], padded(samples, "targets", IGNORED, device)


def attention_blocks(segment: Tensor, prefix: int) -> tuple[Block, ...]:
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
            allowed = shared & (keys <= queries)
            blocks.append(Block(start, stop, spans, torch.where(allowed, 0.0, float("-inf"))[:, None]))
    return tuple(blocks)


@contextlib.contextmanager
def capture_hidden(decoder: PixelDecoder) -> Iterator[list[list[Tensor]]]:
    """For each block of the decoder's transformer, its image states (n, s * s, width) of each call in the context."""
    captured: list[list[Tensor]] = [[] for _ in decoder.transformer.layers]
    hooks = [
        block.register_forward_hook(lambda _block, _inputs, outputs, calls=calls: calls.append(outputs[1]))
        for block, calls in zip(decoder.transformer.layers, captured, strict=True)
    ]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


def _mask_losses(
    model: GeoPixel,
    heads: TeachingHeads,
    seg_states: list[Tensor],
    image_states: Tensor,
    pyramids: tuple[Tensor, ...],
    samples: list[Sample],
) -> dict[str, Tensor]:
    """Losses of the supervised masks of all samples together, and of the blocks' images on the way; {} without masks.

    Masks that the language model does not point at are left out, once it points at any; `cache_pointed_scene` says why.
    """
    parts = []
    with capture_hidden(model.pixel_decoder) as images:
        for index, (states, sample) in enumerate(zip(seg_states, samples, strict=True)):
            if not len(sample.supervised):
                continue
            pyramid = [level[index : index + 1] for level in pyramids]
            prompted = states[sample.supervised.to(states.device)]
            pointed = heads.points_at_target(
                prompted, image_states[index], sample.head_targets.pointers[sample.supervised]
            )
            taught = pointed if pointed.any() else torch.ones_like(pointed)
            masks4, iou4, _ = model.pixel_decoder.all_masks(prompted[taught], *pyramid)
            parts.append((masks4, iou4, sample.masks.to(states.device)[taught]))
    if not parts:
        return {}
    masks4, iou4, truth = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    selection = heads.selection_loss([torch.cat(calls) for calls in images], truth)
    return {**vars(mask_losses(masks4, iou4, truth)), "selection": selection}
