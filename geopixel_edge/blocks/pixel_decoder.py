"""Pixel Decoder (paper block 5): `[SEG]` states and the feature pyramid become masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arrays import F32
from ..checks import finite
from ..runtimes import Runner, Tensor


class PixelDecoder:
    """Text projection, prompt, two-way decoder and the stability fallback, any number of `[SEG]` at once."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def decode(self, states: Tensor, features: Mapping[str, Tensor], masks_per_run: int) -> tuple[F32, F32]:
        """States (n, hidden) -> mask logits (n, M, M) and their predicted IoU (n,) (reference behaviours 23, 24).

        InferenceError for numbers that are not finite.
        """
        count, hidden = states.shape
        self.runner.device.after(next(iter(features.values())).device)
        logits, scores = [], []
        for start in range(0, count, masks_per_run):
            some = states.view(min(masks_per_run, count - start), hidden, offset=start * hidden)
            outputs = self.runner.run({"seg_hidden": some, **features})
            logits.append(finite(outputs["low_res_masks"].numpy(), "the pixel decoder"))
            scores.append(finite(outputs["iou"].numpy(), "the pixel decoder"))
        return np.concatenate(logits), np.concatenate(scores)
