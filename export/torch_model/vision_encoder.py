"""Vision Encoder: CLIP ViT without its last norm, 2x2 merge, row separators and projector, as torch and as ONNX.

The graph sees views one by one, so that any number runs in bounded memory. Stitching the tiles' rows and putting
the separators between them only moves data; the runtime does it (reference behaviours 6 to 8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel


class VisionEncoder(nn.Module):
    """Views (n, 3, S, S) float -> image tokens (n, G, G, hidden) and the two separators (2, hidden).

    `S` is the tile side, `G` half the patch grid. Separator 0 ends rows, separator 1 stands between the global view
    and the tiles (reference behaviour 8). Keys: CLIP keeps its own names, so the original's load unchanged.
    """

    KEYS = (
        ("vit.vision_tower.vision_model.", "clip."),
        ("vision_proj.", "vision_proj."),
        ("plora_sub_GN", "plora_sub_GN"),
        ("plora_glb_GN", "plora_glb_GN"),
    )

    def __init__(self, clip: dict[str, Any], hidden: int) -> None:
        super().__init__()
        config = CLIPVisionConfig(**clip)
        config._attn_implementation = "sdpa"
        self.clip = CLIPVisionModel(config)
        del self.clip.post_layernorm  # the original reads the last layer before this norm
        merged = 4 * int(clip["hidden_size"])
        self.side_px = int(clip["image_size"])
        self.grid = int(clip["image_size"]) // int(clip["patch_size"])
        self.vision_proj = nn.Sequential(nn.Linear(merged, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.plora_sub_GN = nn.Parameter(torch.zeros(1, 1, 1, merged))
        self.plora_glb_GN = nn.Parameter(torch.zeros(1, 1, merged))

    def constants(self, weights: Callable[[str], Tensor]) -> dict[str, Tensor]:
        """CLIP's numbering of positions, which is counted and not stored, by the buffer that holds it."""
        return {"clip.embeddings.position_ids": torch.arange(self.clip.embeddings.num_positions)[None]}

    def merged_features(self, views: Tensor) -> Tensor:
        """CLIP's last layer without CLS, 2x2 neighbours concatenated (dy, dx): (n, G, G, 4 C)."""
        states = self.clip.pre_layrnorm(self.clip.embeddings(views))
        features = self.clip.encoder(inputs_embeds=states).last_hidden_state[:, 1:]
        half, channels = self.grid // 2, features.shape[-1]
        blocks = features.reshape(-1, half, 2, half, 2, channels).permute(0, 1, 3, 2, 4, 5)
        return blocks.reshape(-1, half, half, 4 * channels)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Project the merged features and the separators."""
        separators = torch.cat([self.plora_sub_GN.reshape(1, -1), self.plora_glb_GN.reshape(1, -1)])
        return self.vision_proj(self.merged_features(views)), self.vision_proj(separators)


def stitch(tokens: Tensor, separators: Tensor, rows: int, cols: int) -> Tensor:
    """Image tokens (1 + rows * cols, G, G, C), global view first -> one sequence (T, C) (reference behaviour 8)."""
    side, channels = tokens.shape[1], tokens.shape[-1]
    row_end, between = separators[0], separators[1]

    def with_row_ends(grid: Tensor) -> Tensor:
        ends = row_end.expand(grid.shape[0], 1, channels)
        return torch.cat([grid, ends], dim=1).reshape(-1, channels)

    tiles = tokens[1:].reshape(rows, cols, side, side, channels).transpose(1, 2)
    tiles = tiles.reshape(rows * side, cols * side, channels)
    return torch.cat([with_row_ends(tokens[0]), between[None], with_row_ends(tiles)])
