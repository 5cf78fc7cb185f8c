"""Hiera, the trunk of SAM 2's image encoder: windowed attention that pools its queries from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopixel_edge.errors import CheckpointError

from .sam2_layers import Mlp, attend_in_parts, section

# Fixed in SAM 2: no published configuration changes its patch embedding.
PATCH_KERNEL, PATCH_STRIDE, PATCH_PADDING = 7, 4, 3
_KEYS = (
    "embed_dim",
    "num_heads",
    "stages",
    "global_att_blocks",
    "window_spec",
    "window_pos_embed_bkg_spatial_size",
    "q_pool",
    "q_stride",
    "dim_mul",
    "head_mul",
    "mlp_ratio",
)


def to_windows(x: Tensor, side: int) -> tuple[Tensor, tuple[int, int]]:
    """(b, h, w, c) -> (b * windows, side, side, c) and the padded (h, w); zeros go to the bottom and the right."""
    batch, height, width, channels = x.shape
    pad_h, pad_w = -height % side, -width % side
    if pad_h or pad_w:
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    rows, columns = (height + pad_h) // side, (width + pad_w) // side
    x = x.reshape(batch, rows, side, columns, side, channels).transpose(2, 3)
    return x.reshape(batch * rows * columns, side, side, channels), (rows * side, columns * side)


def from_windows(x: Tensor, padded: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Inverse of `to_windows`: (b * windows, side, side, c) -> (b, h, w, c), the padding cropped away."""
    side, channels = x.shape[1], x.shape[-1]
    rows, columns = padded[0] // side, padded[1] // side
    x = x.reshape(-1, rows, columns, side, side, channels).transpose(2, 3)
    x = x.reshape(-1, padded[0], padded[1], channels)
    return x if padded == grid else x[:, : grid[0], : grid[1]]


def pool(x: Tensor, stride: tuple[int, int]) -> Tensor:
    """Maximum over stride-sized cells of a channels-last (b, h, w, c) tensor."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), stride, stride).permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Self-attention within each (b, h, w, width) window; queries pooled by `stride` when one is given."""

    def __init__(self, width: int, width_out: int, heads: int, stride: tuple[int, int] | None) -> None:
        super().__init__()
        self.heads = heads
        self.stride = stride
        self.qkv = nn.Linear(width, 3 * width_out)
        self.proj = nn.Linear(width_out, width_out)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, self.heads, x.shape[-1] // self.heads).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, width) -> (b, h / stride, w / stride, width_out)."""
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        if self.stride is not None:
            query = pool(query, self.stride)
        mixed = attend_in_parts(self._split(query), self._split(key), self._split(value))
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(query.shape))
        return projected


class Block(nn.Module):
    """One transformer block; `window` 0 attends globally."""

    def __init__(
        self, width: int, width_out: int, heads: int, window: int, stride: tuple[int, int] | None, mlp_ratio: float
    ) -> None:
        super().__init__()
        if stride is not None and (window % stride[0] or window % stride[1]):
            raise CheckpointError(f"sam2_config window_spec holds {window}, which q_stride={stride} does not divide")
        self.window = window
        self.stride = stride
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, width_out, heads, stride)
        self.norm2 = nn.LayerNorm(width_out, eps=1e-6)
        self.mlp = Mlp(width_out, int(width_out * mlp_ratio), width_out, 2, nn.GELU())
        self.proj = nn.Linear(width, width_out) if width != width_out else None

    def _attend(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        if not self.window:
            attended: Tensor = self.attn(x)
            return attended
        cells, (height, width) = to_windows(x, self.window)
        down, right = self.stride or (1, 1)
        return from_windows(self.attn(cells), (height // down, width // right), grid)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, width) -> (b, h / stride, w / stride, width_out)."""
        normed = self.norm1(x)
        if self.proj is not None:
            x = self.proj(normed)
        if self.stride is not None:
            x = pool(x, self.stride)
        x = x + self._attend(normed, (x.shape[1], x.shape[2]))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class PatchEmbed(nn.Module):
    """Overlapping patches: (b, 3, H, W) -> (b, H / 4, W / 4, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_KERNEL, PATCH_STRIDE, PATCH_PADDING)

    def forward(self, image: Tensor) -> Tensor:
        """Channels-last patches."""
        patches: Tensor = self.proj(image).permute(0, 2, 3, 1)
        return patches


class Hiera(nn.Module):
    """The trunk: `sam2["hiera"]` gives its sizes; `widths` lists the channels of its stages, finest first."""

    position: Tensor | None

    def __init__(self, sam2: Mapping[str, Any]) -> None:
        super().__init__()
        config = section(sam2, "hiera", _KEYS)
        width, window = int(config["embed_dim"]), int(config["window_spec"][0])
        self.grid = int(sam2["image_size"]) // PATCH_STRIDE
        self.patch_embed = PatchEmbed(width)
        background = tuple(config["window_pos_embed_bkg_spatial_size"])
        self.pos_embed = nn.Parameter(torch.zeros(1, width, *background))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, width, window, window))
        self.register_buffer("position", None, persistent=False)
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        self.widths: list[int] = []
        self._add_blocks(config, width)

    def _add_blocks(self, config: Mapping[str, Any], width: int) -> None:
        """The first block of a stage changes the width, and pools, still in the window of the stage before."""
        heads = int(config["num_heads"])
        for stage, depth in enumerate(config["stages"]):
            for index in range(depth):
                first = stage > 0 and index == 0
                width_out = int(width * config["dim_mul"]) if first else width
                heads = int(heads * config["head_mul"]) if first else heads
                stride = tuple(config["q_stride"]) if first and stage <= config["q_pool"] else None
                is_global = len(self.blocks) in config["global_att_blocks"]
                window = 0 if is_global else int(config["window_spec"][stage - first])
                self.blocks.append(Block(width, width_out, heads, window, stride, config["mlp_ratio"]))
                width = width_out
            self.stage_ends.append(len(self.blocks) - 1)
            self.widths.append(width)

    def position_embedding(self, background: Tensor, window: Tensor) -> Tensor:
        """(1, grid, grid, width): the background embedding, enlarged (bicubic), plus the window's, tiled."""
        enlarged = F.interpolate(background, size=(self.grid, self.grid), mode="bicubic")
        repeats = self.grid // window.shape[-1]
        return (enlarged + window.tile(1, 1, repeats, repeats)).permute(0, 2, 3, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(b, 3, size, size) -> one (b, c, h, w) map per stage, finest first."""
        x = self.patch_embed(image)
        if self.position is None:
            x = x + self.position_embedding(self.pos_embed, self.pos_embed_window)
        else:
            x = x + self.position
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps
