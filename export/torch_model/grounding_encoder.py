"""Grounding Vision Encoder: SAM 2's image path, from the normalised image to the pyramid the pixel decoder reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopixel_edge.errors import CheckpointError

from .hiera import Hiera
from .sam2_layers import only, section

# SAM 2 hiera-large, which GeoPixel-7B uses without saying so in its config.json.
HIERA_LARGE: dict[str, Any] = {
    "image_size": 1024,
    "hiera": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": [2, 6, 36, 4],
        "global_att_blocks": [23, 33, 43],
        "window_spec": [8, 4, 16, 8],
        "window_pos_embed_bkg_spatial_size": [7, 7],
        "q_pool": 3,
        "q_stride": [2, 2],
        "dim_mul": 2.0,
        "head_mul": 2.0,
        "mlp_ratio": 4.0,
    },
    "neck": {
        "d_model": 256,
        "backbone_channel_list": [1152, 576, 288, 144],
        "fpn_top_down_levels": [2, 3],
        "fpn_interp_model": "nearest",
        "scalp": 1,
    },
    "mask_decoder": {
        "transformer_depth": 2,
        "transformer_num_heads": 8,
        "transformer_mlp_dim": 2048,
        "attention_downsample_rate": 2,
        "num_multimask_outputs": 3,
        "iou_head_depth": 3,
        "iou_head_hidden_dim": 256,
        "iou_prediction_use_sigmoid": True,
        "use_high_res_features": True,
        "pred_obj_scores": True,
        "pred_obj_scores_mlp": True,
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
    "directly_add_no_mem_embed": True,
}
LEVELS = 3  # what the mask decoder reads: the image embedding and two finer maps
OUTPUTS = ("image_embed", "high_res0", "high_res1")
_NECK_KEYS = ("d_model", "backbone_channel_list", "fpn_top_down_levels", "fpn_interp_model", "scalp")


class Lateral(nn.Module):
    """A named 1x1 convolution, as the checkpoint nests it."""

    def __init__(self, width: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> (b, width_out, h, w)."""
        mapped: Tensor = self.conv(x)
        return mapped


class Neck(nn.Module):
    """Feature pyramid: 1x1 convolutions, stored coarsest first, and nearest doubling into the levels listed."""

    def __init__(self, sam2: Mapping[str, Any], widths: list[int]) -> None:
        super().__init__()
        config = section(sam2, "neck", _NECK_KEYS)
        only("neck.fpn_interp_model", config["fpn_interp_model"], "nearest")
        only("neck.fuse_type", config.get("fuse_type", "sum"), "sum")
        only("neck.backbone_channel_list", list(config["backbone_channel_list"]), widths[::-1])
        self.convs = nn.ModuleList(Lateral(width, config["d_model"]) for width in widths[::-1])
        self.top_down_levels = tuple(config["fpn_top_down_levels"])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One map per stage, finest first -> one d_model-wide map per stage, finest first."""
        pyramid: list[Tensor] = []
        for level, lateral in zip(reversed(range(len(maps))), self.convs, strict=True):
            x = lateral(maps[level])
            if pyramid and level in self.top_down_levels:
                x = x + F.interpolate(pyramid[0], scale_factor=2.0, mode="nearest")
            pyramid.insert(0, x)
        return pyramid


class ImageEncoder(nn.Module):
    """Trunk and neck; the coarsest `scalp` levels, which nothing reads, are dropped."""

    def __init__(self, sam2: Mapping[str, Any]) -> None:
        super().__init__()
        self.trunk = Hiera(sam2)
        self.neck = Neck(sam2, self.trunk.widths)
        self.levels = len(self.trunk.widths) - int(sam2["neck"]["scalp"])

    def forward(self, image: Tensor) -> list[Tensor]:
        """(b, 3, size, size) -> the remaining levels, finest first."""
        pyramid: list[Tensor] = self.neck(self.trunk(image))
        return pyramid[: self.levels]


class GroundingEncoder(nn.Module):
    """(1, 3, size, size) normalised image -> image_embed (1, d, s, s), high_res0 (1, d/8, 4s, 4s),
    high_res1 (1, d/4, 2s, 2s) with s = size / 16 (reference behaviours 21 and 22).

    `sam2` is the checkpoint's `sam2_config`, or `HIERA_LARGE`; CheckpointError when it describes another model.
    KEYS pairs each checkpoint prefix with the prefix of the same parameter here.
    """

    KEYS = (
        ("model.visual_model.image_encoder.", "image_encoder."),
        ("model.visual_model.no_mem_embed", "no_mem_embed"),
        ("model.visual_model.sam_mask_decoder.conv_s", "conv_s"),
    )

    def __init__(self, sam2: Mapping[str, Any]) -> None:
        super().__init__()
        decoder = section(sam2, "mask_decoder", ("use_high_res_features",))
        only("mask_decoder.use_high_res_features", decoder["use_high_res_features"], True)
        only("directly_add_no_mem_embed", sam2.get("directly_add_no_mem_embed", True), True)
        self.image_px = int(sam2["image_size"])
        self.image_encoder = ImageEncoder(sam2)
        if self.image_encoder.levels != LEVELS:
            found = self.image_encoder.levels
            raise CheckpointError(f"sam2_config leaves {found} levels; the pixel decoder reads {LEVELS}, check scalp")
        width = int(sam2["neck"]["d_model"])
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, width))
        self.conv_s0 = nn.Conv2d(width, width // 8, 1)
        self.conv_s1 = nn.Conv2d(width, width // 4, 1)

    def constants(self, weights: Callable[[str], Tensor]) -> dict[str, Tensor]:
        """What does not depend on the image, by the buffer that holds it; where it came from is unused then."""
        trunk = "image_encoder.trunk."
        background, window = (weights(f"{trunk}{name}").float() for name in ("pos_embed", "pos_embed_window"))
        return {f"{trunk}position": self.image_encoder.trunk.position_embedding(background, window)}

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`no_mem_embed` says "no video memory"; SAM 2 adds it to the coarsest level only."""
        fine, middle, coarse = self.image_encoder(image)
        image_embed = coarse + self.no_mem_embed.reshape(1, -1, 1, 1)
        return image_embed, self.conv_s0(fine), self.conv_s1(middle)
