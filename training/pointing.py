"""A phase of training in which the pixel decoder starts anew and learns alone, from kept features.

Encoders and language model are the slow part of a step and learn sooner. So what they make of some scenes is kept (the
pyramid, and the state of each `[SEG]`), and the decoder sees several times as many masks in the same time. Before it
starts, all it reads is brought to mean 0 and deviation 1 by its encoder's last layer: features of deviation 6, as they
grow by themselves, drown the position encoding beside them and saturate its attention.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.grounding_encoder import Lateral
from export.pixel_decoder import PixelDecoder
from export.sam2_layers import ChannelNorm
from export.vision_encoder import stitch

from .batches import Sample
from .heads import TeachingHeads
from .losses import MaskLosses, mask_losses
from .model import GeoPixel
from .processes import averaged, summed
from .step import MASKS_WEIGHT, _read, watched

WARM_STEPS = 50
TOKEN_STD = 0.7  # of the decoder's own tokens: near that of the prompt beside them


@dataclass(frozen=True)
class Kept:
    """One scene as the decoder sees it: the pyramid's levels as the encoder gives them (image_embed, high_res0,
    high_res1), `[SEG]` states (n, hidden), masks (n, M, M) uint8, 255 where a cell is covered."""

    pyramid: tuple[Tensor, Tensor, Tensor]
    states: Tensor
    masks: Tensor


@torch.no_grad()
def keep(model: GeoPixel, sample: Sample, bos: int) -> Kept | None:
    """What a scene's sample becomes; None when it has no mask."""
    if not len(sample.chosen):
        return None
    device = model.token_embeddings.weight.device
    with torch.autocast(device.type, torch.bfloat16):
        tokens, separators = model.vision_encoder(sample.views.to(device))
        _, _, hidden, _ = _read(model, stitch(tokens, separators, *sample.grid)[None], [sample], bos)
        embed, high_res0, high_res1 = (level.bfloat16() for level in model.grounding_encoder(sample.pixels.to(device)))
    states = hidden[0][sample.seg_at[sample.chosen].to(device)]
    masks = (sample.masks * 255).round().to(torch.uint8).to(device)
    return Kept((embed, high_res0, high_res1), states.bfloat16(), masks)


@torch.no_grad()
def whiten(model: GeoPixel, heads: TeachingHeads, kept: Sequence[Kept], processes: int = 1) -> None:
    """Bring pyramid and prompt to mean 0 and deviation 1 per channel over the kept scenes, which change alike.

    Only the encoders' last layers change, and the pyramid's heads so that they tell the same as before.
    """
    encoder, decoder = model.grounding_encoder, model.pixel_decoder
    norms = [_moments([one.pyramid[level][0].float().flatten(1).T for one in kept], processes) for level in range(3)]
    for one in kept:
        for level, (mean, deviation) in zip(one.pyramid, norms, strict=True):
            level.copy_((level - mean[:, None, None]) / deviation[:, None, None])
    mean, deviation = norms[0]
    for lateral in encoder.image_encoder.neck.convs[:2]:  # the two levels that make the image embedding
        assert isinstance(lateral, Lateral)
        lateral.conv.weight /= deviation[:, None, None, None]
        assert lateral.conv.bias is not None
        lateral.conv.bias /= deviation
    encoder.no_mem_embed.copy_((encoder.no_mem_embed - mean) / deviation)
    for convolution, (mean, deviation) in zip((encoder.conv_s0, encoder.conv_s1), norms[1:], strict=True):
        convolution.weight /= deviation[:, None, None, None]
        assert convolution.bias is not None
        convolution.bias.copy_((convolution.bias - mean) / deviation)
    for head, (mean, deviation) in zip(heads.pyramid, (norms[0], norms[2], norms[1]), strict=True):
        assert isinstance(head, nn.Conv2d)
        assert head.bias is not None
        head.bias += head.weight[:, :, 0, 0] @ mean
        head.weight *= deviation[None, :, None, None]
    last = decoder.text_hidden_fcs[-1]
    assert isinstance(last, nn.Linear)
    mean, deviation = _moments([decoder.text_hidden_fcs(one.states.float()) for one in kept], processes)
    last.weight /= deviation[:, None]
    last.bias.copy_((last.bias - mean) / deviation)


def _moments(rows: Sequence[Tensor], processes: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation (channels,) of all rows (n, channels) of all processes."""
    count = torch.tensor([float(sum(map(len, rows)))], device=rows[0].device)
    powers = [torch.stack([(part**power).sum(0) for part in rows]).sum(0) for power in (1, 2)]
    total = summed(torch.cat([count, *powers]), processes)
    mean, square = (total[1:] / total[0]).chunk(2)
    return mean, (square - mean**2).clamp(min=1e-6).sqrt()


@torch.no_grad()
def renew(decoder: PixelDecoder) -> None:
    """Fresh parameters for all that stands behind the prompt, scaled so that deviation 1 stays about 1."""
    for name, module in decoder.named_modules():
        if name.startswith("text_hidden_fcs"):
            continue
        if isinstance(module, nn.Linear):
            before_relu = ".layers." in name and not name.endswith("layers.2") and "transformer" not in name
            before_relu |= name.endswith("mlp.layers.0")
            nn.init.normal_(module.weight, std=((2 if before_relu else 1) / module.in_features) ** 0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=module.in_channels**-0.5)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02 if name == "no_mask_embed" else TOKEN_STD)
        elif isinstance(module, (nn.LayerNorm, ChannelNorm)):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def decoder_losses(
    model: GeoPixel, heads: TeachingHeads, scenes: Sequence[Kept], count: int, draw: random.Random
) -> tuple[MaskLosses, Tensor]:
    """Losses of `count` masks drawn from each scene, and of the selection on the way."""
    with watched(model.pixel_decoder) as steps:
        parts = []
        for scene in scenes:
            chosen = draw.choices(range(len(scene.states)), k=count)
            masks4, iou4, _ = model.pixel_decoder.all_masks(scene.states[chosen], *scene.pyramid)
            parts.append((masks4, iou4, scene.masks[chosen].float() / 255))
    masks4, iou4, truth = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return mask_losses(masks4, iou4, truth), heads.selection_loss([torch.cat(kept) for kept in steps], truth)


@dataclass(frozen=True)
class Lesson:
    """How the decoder learns: the rate falls evenly from `rate` to `last_rate`; each step takes `count` masks of each
    of `scenes` kept scenes in each process."""

    steps: int
    rate: float
    last_rate: float
    scenes: int
    count: int


def learn(
    model: GeoPixel, heads: TeachingHeads, kept: Sequence[Kept], lesson: Lesson, rank: int, processes: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[dict[str, float]]:  # fmt: skip
    """Teach the decoder alone; yields a line of losses per step, `stopped` the part of the processes that stop."""
    parameters = [*model.pixel_decoder.parameters(), *heads.coarse.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=lesson.rate, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    draw = random.Random(rank)
    device = parameters[0].device.type
    for step in range(lesson.steps):
        rate = lesson.rate + (lesson.last_rate - lesson.rate) * step / lesson.steps
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / WARM_STEPS)
        with torch.autocast(device, torch.bfloat16):
            scenes = draw.choices(kept, k=lesson.scenes)
            masks, selection = decoder_losses(model, heads, scenes, lesson.count, draw)
            total = MASKS_WEIGHT * masks.total + selection
        total.backward()
        stopped = total.new_tensor(float(stopping()))
        values = torch.stack([masks.bce, masks.dice, masks.near, masks.iou, selection, stopped]).detach().float()
        values = averaged(parameters, values, processes)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        named = zip(("bce", "dice", "near", "iou", "selection", "stopped"), values.tolist(), strict=True)
        yield {"step": step + 1, **{name: round(value, 5) for name, value in named}, "rate": round(rate, 7)}
