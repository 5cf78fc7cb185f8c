"""GeoPixel's losses: cross-entropy of the answer, BCE x 2 and Dice x 0.5 of the masks; and SAM 2's for the choice.

One term is ours: BCE once more, over the cells around the true mask only. In the mean over a whole picture a car of
twenty cells in sixteen thousand is nothing, and a model that starts from nothing would not learn to show it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BCE_WEIGHT, DICE_WEIGHT = 2.0, 0.5
# SAM 2 trains the predicted IoU beside the masks; the fallback to one of three masks rests on it.
IOU_WEIGHT = 0.5
NEAR_WEIGHT, NEAR_CELLS = 1.0, 3  # how far around a mask's cells is near
IGNORED = -100


def answer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the answers' tokens; `targets` holds IGNORED elsewhere. Logits (..., V), targets (...)."""
    return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), ignore_index=IGNORED)


@dataclass(frozen=True)
class MaskLosses:
    """Scalars of one step."""

    bce: Tensor
    dice: Tensor
    near: Tensor
    iou: Tensor

    @property
    def total(self) -> Tensor:
        """BCE and Dice weighted as GeoPixel does."""
        return BCE_WEIGHT * self.bce + DICE_WEIGHT * self.dice + NEAR_WEIGHT * self.near + IOU_WEIGHT * self.iou


def mask_losses(masks4: Tensor, iou4: Tensor, truth: Tensor) -> MaskLosses:
    """Logits (n, 4, M, M), predicted IoU (n, 4), truth (n, M, M) in [0, 1] (the covered part of each cell).

    Mask 0 is always taught; of the other three only the one that is best already, as SAM 2 does, so that they differ.
    """
    logits, target = masks4.float(), truth[:, None].expand_as(masks4).float()
    bce, near = cross_entropies(logits, target)
    dice = dice_loss(logits, target)
    weighted = BCE_WEIGHT * bce + DICE_WEIGHT * dice + NEAR_WEIGHT * near
    best = 1 + weighted[:, 1:].detach().argmin(1)
    rows = torch.arange(len(best), device=best.device)
    actual = measured_iou(logits.detach(), target)
    return MaskLosses(
        bce=(bce[:, 0] + bce[rows, best]).mean() / 2,
        dice=(dice[:, 0] + dice[rows, best]).mean() / 2,
        near=(near[:, 0] + near[rows, best]).mean() / 2,
        iou=F.mse_loss(iou4.float(), actual),
    )


def coarse_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """The same three terms for one mask each, logits (n, m, m), of truth (n, M, M) with M a multiple of m; a scalar."""
    target = F.avg_pool2d(truth[:, None].float(), truth.shape[-1] // logits.shape[-1])
    bce, near = cross_entropies(logits[:, None], target)
    return (BCE_WEIGHT * bce + DICE_WEIGHT * dice_loss(logits[:, None], target) + NEAR_WEIGHT * near).mean()


def cross_entropies(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """BCE (n, k) of logits and target (n, k, M, M) over all cells, and over those near the target's own."""
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    around = F.max_pool2d((target > 0).float(), 2 * NEAR_CELLS + 1, 1, NEAR_CELLS)
    return each.mean((2, 3)), (each * around).sum((2, 3)) / around.sum((2, 3)).clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice over the last two axes, with one pixel of smoothing."""
    found = logits.sigmoid()
    overlap = (found * target).sum((-2, -1))
    return 1 - (2 * overlap + 1) / (found.sum((-2, -1)) + target.sum((-2, -1)) + 1)


def measured_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of the thresholded masks over the last two axes; 0 where both are empty."""
    found, true = logits > 0, target > 0.5
    union = (found | true).sum((-2, -1))
    return (found & true).sum((-2, -1)) / union.clamp(min=1)
