"""The pixel decoder alone, taught from cached features and prompts made of the targets' fields (`prompt_targets.py`).

Encoders and language model are the slow part of a step. So the features that SAM 2's encoder gives of some scenes are
cached, and the decoder sees several times as many masks in the same time. In place of a `[SEG]` state it gets an
embedding of the fields, which the language model learns to equal later; once it has, its own states are cached instead.

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
from .step import capture_hidden, language_states, weighted
from .targets import FREQUENCIES, position_encoding

TOKEN_STD = 0.7  # of the decoder's own tokens, and of what each field adds to a prompt
MAX_NOISE, UNKNOWN_SHARE = 0.2, 0.1


@dataclass(frozen=True)
class CachedScene:
    """One scene as the decoder sees it: the pyramid's levels as the encoder gives them (image_embed, high_res0,
    high_res1), the prompt targets of each mask, int64 (n, fields), its location, (n, POSITION_WIDTH + 1), masks
    (n, M, M) uint8, 255 where a cell is covered, and the language model's `[SEG]` states (n, hidden) if they prompt."""

    pyramid: tuple[Tensor, Tensor, Tensor]
    prompt_targets: Tensor
    locations: Tensor
    masks: Tensor
    states: Tensor | None = None


@torch.no_grad()
def cache_scene(model: GeoPixel, sample: Sample) -> CachedScene | None:
    """The features and targets of a scene's sample; None when it has no mask."""
    if not len(sample.supervised):
        return None
    device = model.token_embeddings.weight.device
    with torch.autocast(device.type, torch.bfloat16):
        embed, high_res0, high_res1 = (level.bfloat16() for level in model.grounding_encoder(sample.pixels.to(device)))
    masks = (sample.masks * 255).round().to(torch.uint8).to(device)
    prompts = sample.prompt_targets[sample.supervised].to(device)
    locations = sample.head_targets.locations[sample.supervised].to(device)
    return CachedScene((embed, high_res0, high_res1), prompts, locations, masks)


@torch.no_grad()
def cache_pointed_scene(model: GeoPixel, heads: TeachingHeads, sample: Sample, bos: int) -> CachedScene | None:
    """The same with the language model's states, as far as it points at what the mask covers.

    Where it points elsewhere, its states say less than they seem to: in doubt between several things a decoder taught
    with them too shows a bit of each. Taught without them it shows what is pointed at.
    """
    scene = cache_scene(model, sample)
    if scene is None:
        return None
    device, side = scene.masks.device, model.config.tokens_per_side
    with torch.autocast(device.type, torch.bfloat16):
        image = model.see(sample.views[None].to(device), *sample.grid)
        _, image_states, hidden, _ = language_states(model, image, [sample], bos)
    states = hidden[0][sample.seg_positions[sample.supervised].to(device)].float()
    grid = stitched_grid(image_states.float(), side, *sample.grid)[0]
    pointed = heads.points_at_target(states, grid, sample.head_targets.pointers[sample.supervised])
    if not pointed.any():
        return None
    prompts, locations, masks = scene.prompt_targets[pointed], scene.locations[pointed], scene.masks[pointed]
    return CachedScene(scene.pyramid, prompts, locations, masks, states[pointed])


@torch.no_grad()
def whiten(model: GeoPixel, heads: TeachingHeads, scenes: Sequence[CachedScene], processes: int = 1) -> None:
    """Bring the pyramid to mean 0 and deviation 1 per channel over the cached scenes.

    Only the encoder's last layers change, and the pyramid's heads so that they tell the same as before.
    """
    encoder = model.grounding_encoder
    norms = [_moments([one.pyramid[level][0].float().flatten(1).T for one in scenes], processes) for level in range(3)]
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
def reinitialise(decoder: PixelDecoder, heads: TeachingHeads) -> None:
    """Fresh parameters for the decoder and for the head that prompts it, scaled so that deviation 1 stays about 1."""
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


def noisy_locations(locations: Tensor, seed: int) -> Tensor:
    """Locations (n, POSITION_WIDTH + 1), NaN where unknown, with noise such as the language model's own would have.

    Each is the mean encoding of a Gaussian about a point near the true one, of a deviation of up to MAX_NOISE of the
    picture, which wipes out the high frequencies; another thing's is mixed in with up to half the weight; and a share
    of UNKNOWN_SHARE becomes NaN. The same `seed` gives the same noise.
    """
    drawn = torch.Generator().manual_seed(seed)
    count, true = len(locations), locations.float().cpu()
    noise, other, size, unknown = torch.rand(4, count, 1, generator=drawn)
    noise = MAX_NOISE * noise**2
    first_waves = true[:, :-1].unflatten(1, (2, 2, -1))[..., 0]  # sine and cosine of both coordinates
    points = torch.atan2(*first_waves.unbind(-1)) / (math.pi * FREQUENCIES[0])
    points = points + noise * torch.randn(count, 2, generator=drawn)
    damping = torch.exp(-((math.pi * noise * torch.tensor(FREQUENCIES)) ** 2) / 2).repeat(1, 4)
    encoding = torch.from_numpy(position_encoding(points.double().numpy())) * damping
    noisy = torch.cat([encoding, true[:, -1:] + size - 0.5], dim=1)
    elsewhere = noisy[torch.randperm(count, generator=drawn)]
    noisy = torch.lerp(noisy, torch.where(elsewhere.isnan(), noisy, elsewhere), other**2 / 2)
    return noisy.masked_fill(unknown < UNKNOWN_SHARE, math.nan).to(locations.device)


def cached_losses(
    model: GeoPixel, heads: TeachingHeads, scenes: Sequence[CachedScene], count: int, draw: random.Random
) -> dict[str, Tensor]:
    """Losses of `count` masks drawn from each scene, named and weighted as those of a whole step."""
    with capture_hidden(model.pixel_decoder) as images:
        parts = []
        for scene in scenes:
            chosen = draw.choices(range(len(scene.masks)), k=count)
            if scene.states is None:
                locations = noisy_locations(scene.locations[chosen], draw.getrandbits(32))
                states = heads.prompt_states(scene.prompt_targets[chosen], locations)
            else:
                states = scene.states[chosen]
            masks4, iou4, _ = model.pixel_decoder.all_masks(states, *scene.pyramid)
            parts.append((masks4, iou4, scene.masks[chosen].float() / 255))
    masks4, iou4, truth = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    selection = heads.selection_loss([torch.cat(calls) for calls in images], truth)
    return weighted({**vars(mask_losses(masks4, iou4, truth)), "selection": selection}, 1.0)
