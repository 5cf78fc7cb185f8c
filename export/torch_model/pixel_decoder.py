"""Pixel Decoder: one `[SEG]` hidden state and SAM 2's feature pyramid -> one mask (reference behaviours 19, 23, 24)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from geopixel_edge.errors import CheckpointError

from .hiera import PATCH_STRIDE
from .sam2_layers import ChannelNorm, Mlp, only, section
from .two_way import TwoWayTransformer

INPUTS = ("seg_hidden", "image_embed", "high_res0", "high_res1")
OUTPUTS = ("low_res_masks", "iou")
_KEYS = (
    "transformer_depth",
    "transformer_num_heads",
    "transformer_mlp_dim",
    "attention_downsample_rate",
    "num_multimask_outputs",
    "iou_head_depth",
    "iou_head_hidden_dim",
    "iou_prediction_use_sigmoid",
    "use_high_res_features",
    "pred_obj_scores",
    "dynamic_multimask_via_stability",
    "dynamic_multimask_stability_delta",
    "dynamic_multimask_stability_thresh",
)
_DECODER = "model.visual_model.sam_mask_decoder."


class GaussianPosition(nn.Module):
    """Random Fourier position encoding; the matrix is a checkpoint value, not a seed."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.zeros(2, width // 2))

    def forward(self, side: int) -> Tensor:
        """(1, width, side, side), see `fourier`."""
        return fourier(self.positional_encoding_gaussian_matrix, side)


def fourier(matrix: Tensor, side: int) -> Tensor:
    """(1, width, side, side): sine and cosine of the projected cell centres, x before y, in [-1, 1]."""
    centres = (torch.arange(side, device=matrix.device, dtype=matrix.dtype) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    angle = 2 * math.pi * (torch.stack((x, y), dim=-1) @ matrix)
    return torch.cat((angle.sin(), angle.cos()), dim=-1).permute(2, 0, 1)[None]


def stability(logits: Tensor, delta: float) -> Tensor:
    """(n, h, w) logits -> (n,): pixels above +delta over pixels above -delta, 1 where there are none of the latter.

    Counted in float32, which is exact up to 2^24 pixels whatever the logits' precision.
    """
    surely = (logits > delta).float().sum((1, 2))
    possibly = (logits > -delta).float().sum((1, 2))
    return torch.where(possibly > 0, surely / possibly.clamp(min=1), torch.ones_like(possibly))


class PixelDecoder(nn.Module):
    """seg_hidden (n, hidden) and the pyramid -> low_res_masks (n, 4s, 4s) logits and iou (n,), n >= 1.

    `sam2` is the checkpoint's `sam2_config` or `HIERA_LARGE`; `hidden` is the language model's width, `out_dim`
    that of its projection, which must equal SAM 2's. CheckpointError when it describes another model.
    KEYS pairs each checkpoint prefix with the prefix of the same parameter here.
    """

    KEYS = (
        ("model.text_hidden_fcs.0.", "text_hidden_fcs."),
        ("model.visual_model.sam_prompt_encoder.pe_layer.", "pe_layer."),
        ("model.visual_model.sam_prompt_encoder.no_mask_embed.", "no_mask_embed."),
        (_DECODER + "obj_score_token.", "obj_score_token."),
        (_DECODER + "iou_token.", "iou_token."),
        (_DECODER + "mask_tokens.", "mask_tokens."),
        (_DECODER + "transformer.", "transformer."),
        (_DECODER + "output_upscaling.", "output_upscaling."),
        (_DECODER + "output_hypernetworks_mlps.", "output_hypernetworks_mlps."),
        (_DECODER + "iou_prediction_head.", "iou_prediction_head."),
    )
    position: Tensor | None

    def __init__(self, sam2: Mapping[str, Any], hidden: int, out_dim: int) -> None:
        super().__init__()
        config = section(sam2, "mask_decoder", _KEYS)
        width = int(section(sam2, "neck", ("d_model", "scalp"))["d_model"])
        if out_dim != width:
            raise CheckpointError(f"out_dim={out_dim} is not SAM 2's width {width}; correct the config.json")
        only("mask_decoder.use_high_res_features", config["use_high_res_features"], True)
        only("mask_decoder.pred_obj_scores", config["pred_obj_scores"], True)
        coarsest = len(sam2["hiera"]["stages"]) - 1 - int(sam2["neck"]["scalp"])
        self.hidden = hidden
        self.side = int(sam2["image_size"]) // (PATCH_STRIDE * int(sam2["hiera"]["q_stride"][0]) ** coarsest)
        self.uses_sigmoid = bool(config["iou_prediction_use_sigmoid"])
        self.falls_back = bool(config["dynamic_multimask_via_stability"])
        self.delta = float(config["dynamic_multimask_stability_delta"])
        self.threshold = float(config["dynamic_multimask_stability_thresh"])
        self.text_hidden_fcs = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out_dim))
        self.pe_layer = GaussianPosition(width)
        self.register_buffer("position", None, persistent=False)
        self.no_mask_embed = nn.Embedding(1, width)
        self._add_decoder(config, width, 1 + int(config["num_multimask_outputs"]))

    def _add_decoder(self, config: Mapping[str, Any], width: int, masks: int) -> None:
        self.obj_score_token = nn.Embedding(1, width)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(masks, width)
        self.transformer = TwoWayTransformer(
            config["transformer_depth"],
            width,
            config["transformer_num_heads"],
            config["transformer_mlp_dim"],
            config["attention_downsample_rate"],
        )
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Mlp(width, width, width // 8, 3, nn.ReLU()) for _ in range(masks)
        )
        head = (config["iou_head_hidden_dim"], masks, config["iou_head_depth"])
        self.iou_prediction_head = Mlp(width, *head, nn.ReLU())

    def dense_position(self) -> Tensor:
        """(1, d, s, s) position encoding of the image embedding's cells."""
        return self.pe_layer(self.side) if self.position is None else self.position

    def constants(self, weights: Callable[[str], Tensor]) -> dict[str, Tensor]:
        """The position encoding, by the buffer that holds it."""
        matrix = weights("pe_layer.positional_encoding_gaussian_matrix").float()
        return {"position": fourier(matrix, self.side)}

    def _upscale(self, image: Tensor, high_res0: Tensor, high_res1: Tensor) -> Tensor:
        first, norm, activation, second, last = self.output_upscaling
        upscaled: Tensor = last(second(activation(norm(first(image) + high_res1))) + high_res0)
        return upscaled

    def all_masks(
        self, seg_hidden: Tensor, image_embed: Tensor, high_res0: Tensor, high_res1: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Every mask without choosing: logits (n, 4, 4s, 4s), iou (n, 4), mask tokens (n, 4, d); differentiable."""
        prompt = self.text_hidden_fcs(seg_hidden)[:, None]
        fixed = torch.cat((self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((fixed[None].expand(prompt.shape[0], -1, -1), prompt), dim=1)
        image = image_embed + self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        flat, position = (x.flatten(2).transpose(1, 2) for x in (image, self.dense_position()))
        tokens, flat = self.transformer(flat, position, tokens)
        mask_tokens = tokens[:, 2 : 2 + self.mask_tokens.num_embeddings]
        upscaled = self._upscale(flat.transpose(1, 2).unflatten(2, (self.side, self.side)), high_res0, high_res1)
        kernels = torch.stack([mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        masks = (kernels @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])
        iou = self.iou_prediction_head(tokens[:, 1])
        return masks, torch.sigmoid(iou) if self.uses_sigmoid else iou, mask_tokens

    def choose(self, masks: Tensor, iou: Tensor) -> Tensor:
        """(n,) int64: mask 0, or where it is unstable the best of the others by predicted IoU."""
        best = iou[:, 1:].argmax(dim=1) + 1
        if not self.falls_back:
            return torch.zeros_like(best)
        return torch.where(stability(masks[:, 0], self.delta) >= self.threshold, torch.zeros_like(best), best)

    def forward(
        self, seg_hidden: Tensor, image_embed: Tensor, high_res0: Tensor, high_res1: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The chosen mask of each `[SEG]` and its predicted IoU."""
        masks, iou, _ = self.all_masks(seg_hidden, image_embed, high_res0, high_res1)
        flat = self.choose(masks, iou) + torch.arange(iou.shape[0], device=iou.device) * iou.shape[1]
        return masks.flatten(0, 1)[flat], iou.flatten()[flat]
