"""The pixel decoder alone, taught from kept pyramids and from what is asked for, put as fields (`meaning.py`).

Encoders and language model are the slow part of a step. So what SAM 2's encoder makes of some scenes is kept, and the
decoder sees several times as many masks in the same time. In place of a `[SEG]` state it gets an embedding of the
fields, which the language model learns to equal later; once it has, its own states can be kept instead.

Before the decoder starts anew, all it reads is brought to mean 0 and deviation 1 by its encoder's last layer: features
of deviation 6, as they grow by themselves, drown the position encoding beside them and saturate its attention.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.torch_model.grounding_encoder import Lateral
from export.torch_model.pixel_decoder import PixelDecoder
from export.torch_model.sam2_layers import ChannelNorm

from .batches import Sample
from .heads import TeachingHeads, stitched_grid
from .losses import mask_losses
from .model import GeoPixel
from .processes import summed
from .step import read, watched, weighed
from .targets import FREQUENCIES, place_code

TOKEN_STD = 0.7  # of the decoder's own tokens, and of what each field adds to a prompt
MOST_DOUBT, UNKNOWN_PART = 0.2, 0.1


@dataclass(frozen=True)
class Kept:
    """One scene as the decoder sees it: the pyramid's levels as the encoder gives them (image_embed, high_res0,
    high_res1), what each mask was asked for, int64 (n, fields), where it is, (n, PLACE_WIDTH + 1), masks (n, M, M)
    uint8, 255 where a cell is covered, and, if they ask, the language model's `[SEG]` states (n, hidden)."""

    pyramid: tuple[Tensor, Tensor, Tensor]
    meanings: Tensor
    spots: Tensor
    masks: Tensor
    states: Tensor | None = None


@torch.no_grad()
def keep(model: GeoPixel, sample: Sample) -> Kept | None:
    """What a scene's sample becomes; None when it has no mask."""
    if not len(sample.chosen):
        return None
    device = model.token_embeddings.weight.device
    with torch.autocast(device.type, torch.bfloat16):
        embed, high_res0, high_res1 = (level.bfloat16() for level in model.grounding_encoder(sample.pixels.to(device)))
    masks = (sample.masks * 255).round().to(torch.uint8).to(device)
    meanings, spots = (rows[sample.chosen].to(device) for rows in (sample.meanings, sample.taught.spots))
    return Kept((embed, high_res0, high_res1), meanings, spots, masks)


@torch.no_grad()
def keep_pointed(model: GeoPixel, heads: TeachingHeads, sample: Sample, bos: int) -> Kept | None:
    """The same with the language model's states, as far as it points at what the mask covers.

    Where it points elsewhere, its states say less than they seem to: in doubt between several things a decoder taught
    with them too shows a bit of each. Taught without them it shows what is pointed at.
    """
    kept = keep(model, sample)
    if kept is None:
        return None
    device, side = kept.masks.device, model.config.tokens_per_side
    with torch.autocast(device.type, torch.bfloat16):
        image = model.see(sample.views[None].to(device), *sample.grid)
        _, seen, hidden, _ = read(model, image, [sample], bos)
    states = hidden[0][sample.seg_at[sample.chosen].to(device)].float()
    grid = stitched_grid(seen.float(), side, *sample.grid)[0]
    right = heads.points_right(states, grid, sample.taught.pointers[sample.chosen])
    if not right.any():
        return None
    return Kept(kept.pyramid, kept.meanings[right], kept.spots[right], kept.masks[right], states[right])


@torch.no_grad()
def whiten(model: GeoPixel, heads: TeachingHeads, kept: Sequence[Kept], processes: int = 1) -> None:
    """Bring the pyramid to mean 0 and deviation 1 per channel over the kept scenes, which change alike.

    Only the encoder's last layers change, and the pyramid's heads so that they tell the same as before.
    """
    encoder = model.grounding_encoder
    norms = [_moments([one.pyramid[level][0].float().flatten(1).T for one in kept], processes) for level in range(3)]
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


def _moments(rows: Sequence[Tensor], processes: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation (channels,) of all rows (n, channels) of all processes."""
    count = torch.tensor([float(sum(map(len, rows)))], device=rows[0].device)
    powers = [torch.stack([(part**power).sum(0) for part in rows]).sum(0) for power in (1, 2)]
    total = summed(torch.cat([count, *powers]), processes)
    mean, square = (total[1:] / total[0]).chunk(2)
    return mean, (square - mean**2).clamp(min=1e-6).sqrt()


@torch.no_grad()
def renew(decoder: PixelDecoder, heads: TeachingHeads) -> None:
    """Fresh parameters for the decoder and for what asks it, scaled so that deviation 1 stays about 1."""
    nn.init.normal_(heads.asked.weight, std=TOKEN_STD)
    nn.init.zeros_(heads.asked.bias)
    for name, module in decoder.named_modules():
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


def doubted(spots: Tensor, seed: int) -> Tensor:
    """Spots (n, PLACE_WIDTH + 1) as the language model may know them: the mean over all that it holds possible.

    Around the true point it doubts by up to MOST_DOUBT of the picture, which wipes out the fine waves of the code; it
    takes another thing for possible with up to half the weight; and now and then it knows nothing.
    """
    drawn = torch.Generator().manual_seed(seed)
    count, own = len(spots), spots.float().cpu()
    doubt, other, size, unknown = torch.rand(4, count, 1, generator=drawn)
    doubt = MOST_DOUBT * doubt**2
    first_waves = own[:, :-1].unflatten(1, (2, 2, -1))[..., 0]  # sine and cosine of both coordinates
    points = torch.atan2(*first_waves.unbind(-1)) / (math.pi * FREQUENCIES[0])
    points = points + doubt * torch.randn(count, 2, generator=drawn)
    blurred = torch.exp(-((math.pi * doubt * torch.tensor(FREQUENCIES)) ** 2) / 2).repeat(1, 4)
    told = torch.cat([torch.from_numpy(place_code(points.double().numpy())) * blurred, own[:, -1:] + size - 0.5], dim=1)
    elsewhere = told[torch.randperm(count, generator=drawn)]
    told = torch.lerp(told, torch.where(elsewhere.isnan(), told, elsewhere), other**2 / 2)
    return told.masked_fill(unknown < UNKNOWN_PART, math.nan).to(spots.device)


def kept_losses(
    model: GeoPixel, heads: TeachingHeads, scenes: Sequence[Kept], count: int, draw: random.Random
) -> dict[str, Tensor]:
    """Losses of `count` masks drawn from each scene, named and weighed as those of a whole step."""
    with watched(model.pixel_decoder) as steps:
        parts = []
        for scene in scenes:
            chosen = draw.choices(range(len(scene.masks)), k=count)
            if scene.states is None:
                states = heads.asked_states(scene.meanings[chosen], doubted(scene.spots[chosen], draw.getrandbits(32)))
            else:
                states = scene.states[chosen]
            masks4, iou4, _ = model.pixel_decoder.all_masks(states, *scene.pyramid)
            parts.append((masks4, iou4, scene.masks[chosen].float() / 255))
    masks4, iou4, truth = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    selection = heads.selection_loss([torch.cat(kept) for kept in steps], truth)
    return weighed({**vars(mask_losses(masks4, iou4, truth)), "selection": selection}, 1.0)
