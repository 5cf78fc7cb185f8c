"""The original's path from a picture to golden values, composed in torch and Pillow.

Independent of the SDK: it is what the exported blocks and the SDK around them are checked against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from .checkpoint import Checkpoint
from .config import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, PAD_VALUE
from .keys import EMBEDDINGS_KEY
from .torch_model.language_model import Layer, Reading
from .torch_model.vision_encoder import stitch

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Divided:
    """Views (1 + rows * cols, 3, S, S), global view first."""

    views: Tensor
    rows: int
    cols: int


def _normalised(image: Image.Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    pixels = torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def divide(image: Image.Image, hd_num: int, tile_px: int) -> Divided:
    """Resize, pad, normalise, cut, and make the global view (reference behaviours 2 to 6)."""
    transposed = image.width < image.height
    if transposed:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    ratio = image.width / image.height
    scale = 1
    while scale * math.ceil(scale / ratio) <= hd_num:
        scale += 1
    scale = max(image.width // tile_px, scale - 1)
    width = scale * tile_px
    resized = image.resize((width, int(width / ratio)), Image.Resampling.BILINEAR)
    height = math.ceil(resized.height / tile_px) * tile_px
    padded = Image.new("RGB", (width, height), (PAD_VALUE,) * 3)
    padded.paste(resized)
    if transposed:
        padded = padded.transpose(Image.Transpose.TRANSPOSE)
    pixels = _normalised(padded, CLIP_MEAN, CLIP_STD)[None]
    view = F.interpolate(pixels, size=(tile_px, tile_px), mode="bicubic")
    rows, cols = padded.height // tile_px, padded.width // tile_px
    tiles = pixels.reshape(3, rows, tile_px, cols, tile_px).permute(1, 3, 0, 2, 4)
    return Divided(torch.cat([view, tiles.reshape(-1, 3, tile_px, tile_px)]), rows, cols)


def grounding_input(image: Image.Image, side_px: int) -> Tensor:
    """SAM 2's input (1, 3, side, side): squashed with antialias, then normalised (reference behaviour 21)."""
    pixels = torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1)[None].float() / 255
    squashed = F.interpolate(pixels, size=(side_px, side_px), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (squashed - mean) / std


def image_tokens(checkpoint: Checkpoint, divided: Divided) -> Tensor:
    """Image tokens (T, hidden) of a divided image."""
    return stitched(checkpoint.load("vision_encoder"), divided)


def stitched(vision_encoder: nn.Module, divided: Divided) -> Tensor:
    """The same, of a loaded encoder."""
    tokens, separators = vision_encoder(divided.views)
    return stitch(tokens, separators, divided.rows, divided.cols)


def decoder_layer(checkpoint: Checkpoint, index: int) -> Layer:
    """One layer of the language model, in float32."""
    names, prefix = checkpoint.claims["language_model"], f"layers.{index}."
    with torch.device("meta"):
        layer = Layer(checkpoint.config, checkpoint.rank)
    state = {
        name.removeprefix(prefix): checkpoint.tensor(key).float()
        for name, key in names.items()
        if name.startswith(prefix)
    }
    layer.load_state_dict(state, assign=True)
    return layer


def reading(checkpoint: Checkpoint, length: int, image_rows: Tensor) -> Reading:
    """What a layer has to know of one sequence of `length` rows, read from its beginning."""
    return Reading.of(checkpoint.config, 1, torch.arange(length), image_rows)


def final_norm(checkpoint: Checkpoint, rows: Tensor) -> Tensor:
    """Rows (S, hidden) under the language model's last norm."""
    weight = checkpoint.tensor(checkpoint.claims["language_model"]["norm.weight"]).float()
    return F.rms_norm(rows, weight.shape, weight, checkpoint.config.rms_norm_eps)


def hidden_states(checkpoint: Checkpoint, embeds: Tensor, image_rows: Tensor) -> Tensor:
    """Final-normed hidden states (S, hidden), one decoder layer's weights in memory at a time."""
    rows, read = embeds, reading(checkpoint, len(embeds), image_rows)
    for index in range(checkpoint.config.layers):
        layer = decoder_layer(checkpoint, index)
        rows = layer(rows, read)
        del layer  # before the next one is read
    return final_norm(checkpoint, rows)


def greedy(checkpoint: Checkpoint, embeds: Tensor, image_rows: Tensor, steps: int) -> tuple[list[int], Tensor, Tensor]:
    """`steps` greedy tokens, each by full recompute; the first step's logits (V,) and last hidden state (hidden,)."""
    head = checkpoint.claims["language_model"]["output.weight"]
    tokens: list[int] = []
    for step in range(steps):
        hidden = hidden_states(checkpoint, embeds, image_rows)[-1]
        logits = product(checkpoint.tensor(head), hidden)
        if step == 0:
            first_logits, first_hidden = logits, hidden
        tokens.append(int(logits.argmax()))
        embeds = torch.cat([embeds, token_rows(checkpoint, tokens[-1:])])
    return tokens, first_logits, first_hidden


def token_rows(checkpoint: Checkpoint, token_ids: Sequence[int]) -> Tensor:
    """Embeddings (n, hidden) float32 of token ids; the table itself is not kept."""
    return checkpoint.tensor(EMBEDDINGS_KEY)[torch.tensor(token_ids)].float()


def product(matrix: Tensor, vector: Tensor) -> Tensor:
    """A stored matrix (n, hidden) times a float32 vector (hidden,), some rows widened at a time."""
    return torch.cat([part.float() @ vector for part in matrix.split(_ROWS_AT_ONCE)])
